/** How long a thread is stopped while a userfaultfd is made in its process, by what the process does. */
import { spawnSync } from "node:child_process";
import { closeSync, readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { quantile } from "../src/lab/statistics.ts";
import { createUserfaultfdIn, listThreads } from "../src/linux/index.ts";
import { SELFCHECK_MODES, SelfCheckingTarget, TargetFolder } from "../test/support/target.mjs";
import { benchOptions, Report } from "./support/report.ts";

const MEDIAN_MS_MAX = 2;
const MEDIAN_MS_AIM = 1;
/** More of a wait for a CPU than that, and the time says more about the other work on the machine. */
const UNDISTURBED_MS = 0.05;
/** A machine that is busy may take a while to let the target run. */
const PATIENCE_MS = 10_000;

interface Stop {
  readonly stoppedMs: number;
  /** How long the stopped thread, or ours, was ready to run meanwhile and had no CPU; the longer one. */
  readonly waitedMs: number;
}

/** The second number: nanoseconds that a thread has waited for a CPU. `Documentation/scheduler/sched-stats.rst` */
function waitedSoFarMs(pid: number, tid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, "utf8").split(" ")[1]) / 1e6;
}

function attach(pid: number): Stop {
  // Just before the stop; which thread it will be is not known.
  let theirs = new Map<number, number>();
  let ours = 0;
  const onStep = (step: string) => {
    if (step !== "chosen") return;
    theirs = new Map(listThreads(pid).map((tid) => [tid, waitedSoFarMs(pid, tid)]));
    ours = waitedSoFarMs(process.pid, process.pid);
  };
  const { fd, stoppedMs, thread } = createUserfaultfdIn(pid, { patienceMs: PATIENCE_MS, onStep });
  const waitedMs = Math.max(
    waitedSoFarMs(process.pid, process.pid) - ours,
    waitedSoFarMs(pid, thread) - (theirs.get(thread) ?? 0),
  );
  closeSync(fd);
  return { stoppedMs, waitedMs };
}

/** Attaching once, in a process made for it: what a user who attaches sees. */
function attachInNewProcess(pid: number): Stop {
  const self = fileURLToPath(import.meta.url);
  const { stdout, stderr } = spawnSync(process.execPath, [self, "--once", String(pid)], { encoding: "utf8" });
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout) as Stop;
}

interface Measured {
  readonly mode: string;
  readonly again: readonly Stop[];
  readonly once: readonly Stop[];
}

interface Sizes {
  readonly again: number;
  readonly once: number;
}

async function measure(program: string, mode: string, sizes: Sizes): Promise<Measured> {
  const target = new SelfCheckingTarget(program, mode);
  try {
    await target.progress();
    attach(target.pid);
    const again: Stop[] = [];
    for (let i = 0; i < sizes.again; i++) {
      again.push(attach(target.pid));
      await target.progress(1);
    }
    const once = Array.from({ length: sizes.once }, () => attachInNewProcess(target.pid));
    await target.progress();
    return { mode, again, once };
  } finally {
    await target.stop();
  }
}

const undisturbed = (stops: readonly Stop[]) => stops.filter(({ waitedMs }) => waitedMs < UNDISTURBED_MS);
const quantileMs = (stops: readonly Stop[], q: number) =>
  stops.length === 0
    ? Number.NaN
    : quantile(
        stops.map(({ stoppedMs }) => stoppedMs),
        q,
      );
const milliseconds = (ms: number) => (Number.isNaN(ms) ? "-" : ms.toFixed(3));

/** Median, a high quantile, and of the undisturbed ones the median and how many. */
function cells(stops: readonly Stop[], high: number): string[] {
  const calm = undisturbed(stops);
  const values = [quantileMs(stops, 0.5), quantileMs(stops, high), quantileMs(calm, 0.5)];
  return [...values.map(milliseconds), String(calm.length)];
}

async function main(): Promise<void> {
  const options = benchOptions();
  const report = new Report("attach", options);
  const again = options.rounds ?? (options.quick ? 5 : 200);
  const once = Math.ceil(again / 10);
  using folder = new TargetFolder(fileURLToPath(new URL("../test/support/targets", import.meta.url)));
  const built = folder.compile("selfcheck");
  if ("problem" in built) throw new Error(built.problem);
  const all: Measured[] = [];
  for (const mode of SELFCHECK_MODES) {
    report.progress(mode);
    all.push(await measure(built.program, mode, { again, once }));
  }
  const every = {
    mode: "all",
    again: all.flatMap((measured) => measured.again),
    once: all.flatMap((measured) => measured.once),
  };
  for (const [title, kind, high] of [
    [`${again} attaches by one process`, "again", 0.99],
    [`${once} attaches by a new process each`, "once", 0.9],
  ] as const) {
    report.table(
      `Time a thread was stopped, ms: ${title}`,
      ["target", "median", `p${100 * high}`, "undisturbed: median", "how many"],
      [...all, every].map((measured) => [measured.mode, ...cells(measured[kind], high)]),
    );
    const median = quantileMs(undisturbed(every[kind]), 0.5);
    const text = `${title}, undisturbed: median ${milliseconds(median)} ms, below ${MEDIAN_MS_MAX}`;
    report.target(`${text} (aim: ${MEDIAN_MS_AIM})`, median < MEDIAN_MS_MAX);
  }
  report.data("stops", all);
  report.note("counted from asking the thread to stop to having let it go");
  report.note(`undisturbed: neither the thread nor ours waited ${UNDISTURBED_MS} ms for a CPU`);
  report.print();
}

if (process.argv[2] === "--once") console.log(JSON.stringify(attach(Number(process.argv[3]))));
else await main();
