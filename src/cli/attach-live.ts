/** `attach` at work: attaches, passes at intervals, detaches. Loaded when there is a process to attach to. */

import process from "node:process";
import { LinuxError } from "../linux/linux-error.ts";
import {
  type AttachmentPass,
  attach,
  isSharedMemory,
  type Mapping,
  type SkippedMapping,
} from "../residency/index.ts";
import { announceAttach, tellPeople } from "./attach-plan.ts";
import {
  type Attached,
  type AttachTotals,
  addPass,
  attachedEvent,
  attachedLines,
  endEvent,
  NO_TOTALS,
  newsLines,
  PASS_HEADER,
  passEvent,
  passLine,
  skippedLine,
  summaryLines,
} from "./attach-text.ts";
import { EndSignals } from "./end-signals.ts";
import { unlessEnded } from "./unless-ended.ts";

export interface AttachJob {
  readonly pid: number;
  /** Among shared memory. */
  readonly isWanted: (mapping: Mapping) => boolean;
  readonly intervalS: number;
  /** How many lines; Infinity until a signal ends it. */
  readonly passes: number;
  readonly json: boolean;
  readonly force: boolean;
  readonly huge: boolean;
}

/** Lines between two headers, where nobody tells how long a screen is. */
const HEADER_EVERY = 20;

/** What came of it. */
interface Outcome {
  readonly attached: Attached;
  readonly totals: AttachTotals;
  readonly how: "detached" | "ended";
}

export async function runAttach(job: AttachJob): Promise<void> {
  announceAttach(job.pid, job.isWanted);
  const { attached, totals, how } = await stayAttached(job);
  if (job.json) print(JSON.stringify(endEvent(attached, totals, how)));
  else tellPeople(summaryLines(attached, totals, how));
}

async function stayAttached(job: AttachJob): Promise<Outcome> {
  const { pid, isWanted, force, huge, json, intervalS } = job;
  const choose = (mapping: Mapping) => isSharedMemory(mapping) && isWanted(mapping);
  using end = new EndSignals();
  using linux = attach(pid, { choose, force, armHuge: huge });
  const { target, attachment, thread, stoppedMs } = linux;
  const attached = { pid, name: target.name, kernel: target.kernel, thread, stoppedMs };
  const skippedBefore = new Set<string>();
  let totals = NO_TOTALS;
  const first = unlessEnded(target, () => attachment.pass());
  if (first === undefined) return { attached, totals, how: "ended" };
  if (first.scans.length === 0) {
    const reasons = first.skipped.map(skippedLine).join("; ");
    throw new LinuxError({ call: `attach to process ${pid}`, needs: reasons });
  }
  if (json) print(JSON.stringify(attachedEvent(attached, first, new Date())));
  else tellPeople([...attachedLines(attached, first), ...untold(first, skippedBefore).map(skippedLine)]);

  const start = performance.now();
  for (let passes = 0; passes < job.passes; passes++) {
    if (await end.within(intervalS * 1000)) break;
    const pass = unlessEnded(target, () => attachment.pass());
    if (pass === undefined) return { attached, totals, how: "ended" };
    totals = addPass(totals, pass, (performance.now() - start) / 1000);
    if (json) print(JSON.stringify(passEvent(pass, new Date())));
    else {
      tellPeople(newsLines(pass, untold(pass, skippedBefore)));
      if (passes % ((process.stdout.rows ?? HEADER_EVERY + 2) - 2) === 0) print(PASS_HEADER);
      print(passLine(pass, new Date()));
    }
  }
  return { attached, totals, how: "detached" };
}

/** The mappings left out that were not told of before. */
function untold({ skipped }: AttachmentPass, before: Set<string>): SkippedMapping[] {
  return skipped.filter((one) => {
    const line = skippedLine(one);
    return !before.has(line) && before.add(line);
  });
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
