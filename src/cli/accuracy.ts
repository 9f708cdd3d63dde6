import { writeFileSync } from "node:fs";
import process from "node:process";
import { type Command, Option } from "commander";
import { describeAccuracy } from "../lab/accuracy-report.ts";
import { runAccuracySuite } from "../lab/accuracy-suite.ts";
import { heading } from "../lab/document.ts";
import { toHtml } from "../lab/html.ts";
import { WORKLOAD_DEFAULTS, type WorkloadOptions, workloadProgram } from "../lab/workload.ts";
import { WORKLOADS, workloadNamed } from "../lab/workloads.ts";
import { formatOp } from "../script/index.ts";
import { InputError } from "./errors.ts";
import { share, wholeNumber } from "./numbers.ts";
import { StatusLine } from "./progress.ts";
import { toText } from "./text.ts";

interface Options extends WorkloadOptions {
  readonly rearm: number;
  readonly live: boolean;
  readonly program?: boolean;
  readonly json?: boolean;
  readonly html?: string;
}

const NAMES = WORKLOADS.map(({ name }) => name);

export function addAccuracy(program: Command): void {
  const defaults = WORKLOAD_DEFAULTS;
  const option = (flags: string, text: string, value: number, parse: (text: string) => number): Option =>
    new Option(flags, text).default(value).argParser(parse);
  program
    .command("accuracy")
    .summary("how often PM_SWAP is right, and why it is not")
    .description(
      "Runs workloads, made from a seed, and holds the swap bit of every page after every step against the object: " +
        "without markers, with them, with the rival's look-up, with the stand-in of today's kernels; the " +
        "last also on " +
        "this kernel, and the exact detector (needs root, zram and Linux 6.7).",
    )
    .argument("[workloads...]", `which: ${NAMES.join(", ")}; all unless given`)
    .addOption(
      option(
        "--seed <n>",
        "of the workloads",
        defaults.seed,
        wholeNumber("--seed", { min: 0, max: 2 ** 32 - 1 }),
      ),
    )
    .addOption(
      option(
        "--pages <n>",
        "size of the shared object",
        defaults.pages,
        wholeNumber("--pages", { min: 16, max: 4096 }),
      ),
    )
    .addOption(
      option(
        "--steps <n>",
        "length of a workload",
        defaults.steps,
        wholeNumber("--steps", { min: 1, max: 1e6 }),
      ),
    )
    .addOption(
      option(
        "--processes <n>",
        "how many share it at most",
        defaults.processes,
        wholeNumber("--processes", { min: 1, max: 26 }),
      ),
    )
    .addOption(option("--zap-rate <share>", "chance of a zap a step", defaults.zapRate, share("--zap-rate")))
    .addOption(
      option(
        "--page-out-rate <share>",
        "chance of a page-out a step",
        defaults.pageOutRate,
        share("--page-out-rate"),
      ),
    )
    .addOption(
      option(
        "--rearm <n>",
        "arm the stand-in after every so many steps",
        1,
        wholeNumber("--rearm", { min: 1, max: 1e6 }),
      ),
    )
    .option("--no-live", "the model only")
    .option("--program", "print the one workload as a program for `ptemark run`, and do no more")
    .option("--json", "print what was measured as JSON")
    .option("--html <file>", "write a page with plots")
    .addHelpText(
      "after",
      `
Examples:
  ptemark accuracy --no-live
  ptemark accuracy database --processes 8 --zap-rate 0
  ptemark accuracy vm --program | ptemark run - --json
  sudo ptemark accuracy --html accuracy.html`,
    )
    .action(accuracy);
}

async function accuracy(names: readonly string[], all: Options): Promise<void> {
  const { rearm, live, program, json, html, ...options } = all;
  const workloads = (names.length === 0 ? NAMES : [...new Set(names)]).map(workloadNamed);
  if (program) {
    if (workloads.length !== 1)
      throw new InputError(`--program prints one workload: name one of ${NAMES.join(", ")}`);
    const ops = workloadProgram(workloads[0], options);
    process.stdout.write(ops.map((op) => `${formatOp(op)}\n`).join(""));
    return;
  }
  const status = new StatusLine();
  try {
    const suite = await runAccuracySuite({
      workloads,
      options,
      rearmEvery: rearm,
      live,
      onProgress: status.show,
    });
    status.stop();
    const blocks = describeAccuracy(suite);
    if (html !== undefined)
      writePage(html, toHtml("ptemark accuracy", [heading(1, "ptemark accuracy"), ...blocks]));
    process.stdout.write(json ? `${JSON.stringify(suite)}\n` : toText(blocks));
  } finally {
    status.stop();
  }
}

/** Throws an {@link InputError} if the file can't be written. */
export function writePage(file: string, page: string): void {
  try {
    writeFileSync(file, page);
  } catch (error) {
    throw new InputError(`--html ${file}: ${(error as Error).message}`);
  }
}
