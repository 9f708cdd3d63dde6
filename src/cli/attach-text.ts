/** What `attach` tells, in lines for people and in events for programs: made from what happened, and nothing else. */

import type { AttachmentPass } from "../residency/attachment.ts";
import type { PageState } from "../residency/page-state.ts";
import { type Mapping, pagesOf } from "../residency/target.ts";
import { formatPages, formatSeconds } from "./amount.ts";
import { printable } from "./scan-words.ts";

/** Which process, and how it was attached to. */
export interface Attached {
  readonly pid: number;
  readonly name: string;
  readonly kernel: string;
  readonly thread: number;
  readonly stoppedMs: number;
}

/** Sums over all passes after the first, which only arms. */
export interface AttachTotals {
  readonly passes: number;
  readonly seconds: number;
  readonly swappedOut: number;
  readonly swappedIn: number;
  readonly written: number;
  readonly healed: number;
}

export const NO_TOTALS: AttachTotals = {
  passes: 0,
  seconds: 0,
  swappedOut: 0,
  swappedIn: 0,
  written: 0,
  healed: 0,
};

export function addPass(sum: AttachTotals, pass: AttachmentPass, seconds: number): AttachTotals {
  return {
    passes: sum.passes + 1,
    seconds,
    swappedOut: sum.swappedOut + pass.swappedOut,
    swappedIn: sum.swappedIn + pass.swappedIn,
    written: sum.written + pass.written,
    healed: sum.healed + pass.healed,
  };
}

/** What will be done to which mappings, and what it costs: told before it is done. */
export function planLines(
  { pid, name }: Pick<Attached, "pid" | "name">,
  mappings: readonly Mapping[],
  warnings: readonly string[],
): string[] {
  const pages = mappings.reduce((sum, mapping) => sum + pagesOf(mapping), 0);
  const size = `${counted(mappings.length, "mapping")} of shared memory, ${formatPages(pages)}`;
  return [
    `attaching to process ${pid} (${printable(name)}): ${size}`,
    ...mappings.map((mapping) => `  ${describe(mapping)}`),
    "What it costs the process, until you detach (Ctrl-C):",
    "  one thread is stopped, once, for about a millisecond, to make a userfaultfd there",
    "  the first write to a page after each pass is a write-protect fault (about a microsecond)",
    "  a page that is in memory and not mapped takes a fault of its own to map (no fault-around)",
    ...warnings.map((warning) => `Warning: ${warning}`),
  ];
}

export function attachedLines({ thread, stoppedMs }: Attached, first: AttachmentPass): string[] {
  const stopped = `attached: thread ${thread} was stopped for ${stoppedMs.toFixed(2)} ms`;
  const cached = sumOf(first, ["cached"]);
  const lines = [
    `${stopped}; armed ${formatPages(first.armed)} in ${formatMs(first.scanMs + first.armMs)} ms`,
  ];
  if (cached > 0) {
    lines.push(
      `  another ${formatPages(cached)} are in memory and not mapped by this process: without markers there,`,
      "  pagemap won't show when they go to swap; the lines below do, as the object is asked",
    );
  }
  return lines;
}

const TITLES = ["time", "out", "in", "written", "armed", "doubtful", "stale", "in swap", "ms"] as const;
const WIDTHS = [8, 8, 8, 8, 8, 8, 6, 8, 6] as const;

export const PASS_HEADER = inColumns(TITLES);

export function passLine(pass: AttachmentPass, time: Date): string {
  return inColumns([
    time.toTimeString().slice(0, 8),
    pass.swappedOut,
    pass.swappedIn,
    pass.written,
    pass.armed,
    pass.doubtful,
    pass.healed,
    pagesInSwap(pass),
    formatMs(pass.scanMs + pass.armMs),
  ]);
}

function inColumns(cells: readonly (string | number)[]): string {
  return cells.map((cell, i) => String(cell).padStart(WIDTHS[i])).join(" ");
}

function formatMs(ms: number): string {
  return ms.toFixed(ms < 10 ? 1 : 0);
}

/** What else has changed: mappings that came, went, or are left out (of these, those not told before). */
export function newsLines(pass: AttachmentPass, untold: AttachmentPass["skipped"]): string[] {
  return [
    ...pass.vanished.map((mapping) => `gone: ${describe(mapping)}`),
    ...pass.appeared.map((mapping) => `new, attached too: ${describe(mapping)}`),
    ...untold.map(skippedLine),
  ];
}

export function skippedLine({ mapping, reason }: AttachmentPass["skipped"][number]): string {
  return `left out: ${describe(mapping)}: ${reason}`;
}

export function summaryLines(
  { pid, name, stoppedMs }: Attached,
  { passes, seconds, swappedOut, swappedIn, written, healed }: AttachTotals,
  how: "detached" | "ended",
): string[] {
  const end =
    how === "ended"
      ? `process ${pid} (${printable(name)}) has ended, or runs another program`
      : "detached: nothing is left in the process";
  const moved = `${swappedOut} pages swapped out, ${swappedIn} swapped in, ${written} written`;
  return [
    `${end}; after ${formatSeconds(seconds)}, ${counted(passes, "pass", "passes")}:`,
    `  ${moved}, ${healed} stale markers taken away`,
    `  it cost: a stop of ${stoppedMs.toFixed(2)} ms, ${written} write-protect faults at most`,
  ];
}

export function attachedEvent(attached: Attached, first: AttachmentPass, time: Date): object {
  return {
    event: "attached",
    time,
    ...attached,
    mappings: first.scans.map(({ mapping }) => jsonOf(mapping)),
    skipped: first.skipped.map(({ mapping, reason }) => ({ ...jsonOf(mapping), reason })),
    armed: first.armed,
    inSwap: pagesInSwap(first),
    scanMs: first.scanMs,
    armMs: first.armMs,
  };
}

export function passEvent(pass: AttachmentPass, time: Date): object {
  const { swappedOut, swappedIn, written, armed, doubtful, healed, scanMs, armMs } = pass;
  return {
    event: "pass",
    time,
    ...{ swappedOut, swappedIn, written, armed, doubtful, healed },
    inSwap: pagesInSwap(pass),
    appeared: pass.appeared.map(jsonOf),
    vanished: pass.vanished.map(jsonOf),
    ...{ scanMs, armMs },
  };
}

export function endEvent({ stoppedMs }: Attached, totals: AttachTotals, how: "detached" | "ended"): object {
  return { event: how, time: new Date(), ...totals, stoppedMs };
}

/** As smaps counts: with a copy in memory or without. */
function pagesInSwap(pass: AttachmentPass): number {
  return sumOf(pass, ["swapped", "swap-cached"]);
}

function sumOf({ scans }: AttachmentPass, states: readonly PageState[]): number {
  return scans.reduce((sum, { counts }) => states.reduce((all, state) => all + counts[state], sum), 0);
}

function describe(mapping: Mapping): string {
  const { start, end, name } = mapping;
  return `${start.toString(16)}-${end.toString(16)} ${printable(name)} (${formatPages(pagesOf(mapping))})`;
}

function jsonOf({ start, end, name }: Mapping): object {
  return { start: `0x${start.toString(16)}`, end: `0x${end.toString(16)}`, object: name };
}

function counted(count: number, noun: string, plural = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : plural}`;
}
