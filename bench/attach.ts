/** How long a thread is stopped while a userfaultfd is made in its process, by what the process does. */
import { spawnSync } from "node:child_process";
import { closeSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { quantile } from "../src/lab/statistics.ts";
import { createUserfaultfdIn } from "../src/linux/index.ts";
import { SELFCHECK_MODES, SelfCheckingTarget, TargetFolder } from "../test/support/target.mjs";
import { benchOptions, Report } from "./support/report.ts";

const MEDIAN_MS_MAX = 2;
const MEDIAN_MS_AIM = 1;
/** A machine that is busy may take a while to let the target run. */
const PATIENCE_MS = 10_000;

function attach(pid: number): number {
  const { fd, stoppedMs } = createUserfaultfdIn(pid, { patienceMs: PATIENCE_MS });
  closeSync(fd);
  return stoppedMs;
}

/** Attaching once, in a process made for it: what a user who attaches sees. */
function attachInNewProcess(pid: number): number {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [fileURLToPath(import.meta.url), "--once", String(pid)],
    {
      encoding: "utf8",
    },
  );
  const stoppedMs = Number(stdout);
  if (stdout === "" || Number.isNaN(stoppedMs)) throw new Error(stderr);
  return stoppedMs;
}

interface Measured {
  readonly mode: string;
  readonly againMs: readonly number[];
  readonly onceMs: readonly number[];
}

async function measure(
  program: string,
  mode: string,
  sizes: { again: number; once: number },
): Promise<Measured> {
  const target = new SelfCheckingTarget(program, mode);
  try {
    await target.progress();
    attach(target.pid);
    const againMs: number[] = [];
    for (let i = 0; i < sizes.again; i++) {
      againMs.push(attach(target.pid));
      await target.progress(1);
    }
    const onceMs = Array.from({ length: sizes.once }, () => attachInNewProcess(target.pid));
    await target.progress();
    return { mode, againMs, onceMs };
  } finally {
    await target.stop();
  }
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
  const row = (name: string, againMs: readonly number[], onceMs: readonly number[]) => [
    name,
    ...[quantile(againMs, 0.5), quantile(againMs, 0.99), quantile(onceMs, 0.5), quantile(onceMs, 0.9)].map(
      (ms) => ms.toFixed(3),
    ),
  ];
  const everyAgain = all.flatMap(({ againMs }) => againMs);
  const everyOnce = all.flatMap(({ onceMs }) => onceMs);
  report.table(
    `Time a thread was stopped, ms (${again} attaches by one process; ${once} by a new process each)`,
    ["target", "median", "p99", "new: median", "new: p90"],
    [
      ...all.map(({ mode, againMs, onceMs }) => row(mode, againMs, onceMs)),
      row("all", everyAgain, everyOnce),
    ],
  );
  report.data("stoppedMs", all);
  for (const [name, values] of [
    ["by one process", everyAgain],
    ["by a new process", everyOnce],
  ] as const) {
    const ms = quantile(values, 0.5);
    const text = `${name}: median ${ms.toFixed(3)} ms, below ${MEDIAN_MS_MAX} ms (aim: ${MEDIAN_MS_AIM} ms)`;
    report.target(text, ms < MEDIAN_MS_MAX);
  }
  report.note(
    "counted from asking the thread to stop; where the CPUs are busy, that is mostly the wait for one",
  );
  report.print();
}

if (process.argv[2] === "--once") console.log(attach(Number(process.argv[3])));
else await main();
