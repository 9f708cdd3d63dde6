import { readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type Command, InvalidArgumentError } from "commander";
import { makeConfig } from "../model/index.ts";
import { replay, shrink } from "../script/index.ts";
import { conformLive } from "./conform-live.ts";
import { ConformReport, type ShrunkDivergence } from "./conform-report.ts";
import { EXIT, InputError } from "./errors.ts";
import { machineForTrace } from "./machines.ts";
import { Progress } from "./progress.ts";
import { type PlacedTrace, TraceFiles } from "./trace-files.ts";

const SHIPPED_TRACES = fileURLToPath(new URL("../../test/fixtures/traces/", import.meta.url));
/** The sample is the first trace of each file, and every so manyth after it: odd, since configurations alternate. */
const SAMPLE_EVERY = 9;

interface ConformOptions {
  readonly profile?: string;
  readonly json?: boolean;
  readonly sample?: boolean;
  readonly live?: boolean;
  readonly seeds?: number;
  readonly seed?: number;
}

const SEEDS_DEFAULT = 100;

export function addConform(program: Command): void {
  program
    .command("conform")
    .summary("compare the model with recorded kernels, or with this one")
    .description(
      "Replays recorded traces on the model and compares everything that it shows after every step. " +
        "For each trace that differs it tells where first, and the shortest program that does. " +
        "With --live the traces are made now: random programs, run on this kernel (needs root; swap is a zram " +
        "device of its own) and on the model, with the profile nearest to this kernel.",
    )
    .argument("[files...]", "recorded traces, .jsonl or .jsonl.gz; - reads standard input")
    .option("-p, --profile <name>", "the kernel to be, whatever the traces say: rfc, linux-6.1, linux-6.18")
    .option("--sample", "replay a sample of the traces that come with ptemark")
    .option("--live", "compare with this kernel, on random programs")
    .option("--seeds <number>", `with --live: how many programs (${SEEDS_DEFAULT} if not given)`, wholeNumber)
    .option("--seed <number>", "with --live: the first program's seed (1 if not given)", wholeNumber)
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
Examples:
  ptemark conform --sample
  ptemark conform rfc.jsonl.gz stock61.jsonl.gz
  ptemark conform --profile linux-6.1 --json rfc.jsonl.gz
  sudo ptemark conform --live --seeds 500

Exit codes: 0 the model agrees, 1 it differs, 2 the input can't be used, 3 --live is not possible here.`,
    )
    .action(conform);
}

async function conform(files: readonly string[], options: ConformOptions): Promise<void> {
  const { profile, json, sample, live, seeds, seed } = options;
  if ((files.length > 0 ? 1 : 0) + (sample ? 1 : 0) + (live ? 1 : 0) !== 1) {
    throw new InputError("conform takes one of --sample, --live, and files with recorded traces");
  }
  if (!live && (seeds ?? seed) !== undefined) throw new InputError("--seeds and --seed are for --live");
  if (profile !== undefined) makeConfig(profile);
  const report = live
    ? await conformLive({ seeds: seeds ?? SEEDS_DEFAULT, seed: seed ?? 1, profile })
    : await conformFiles(files, options);
  process.stdout.write(json ? report.toJson() : report.toText());
  if (report.divergences.length > 0) process.exitCode = EXIT.FOUND;
}

function wholeNumber(text: string): number {
  const number = Number(text);
  if (/^\d{1,10}$/.test(text) && number < 2 ** 32) return number;
  throw new InvalidArgumentError("It is a whole number below 2^32.");
}

async function conformFiles(
  files: readonly string[],
  { profile, sample }: ConformOptions,
): Promise<ConformReport> {
  const report = new ConformReport();
  const traces = sample ? new TraceFiles(shippedTraces(), { every: SAMPLE_EVERY }) : new TraceFiles(files);
  const progress = new Progress(traces.sizeBytes);
  try {
    for await (const placed of traces) {
      report.add(placed.trace, conformTrace(placed, profile));
      progress.update(traces.readBytes, placed.trace.id);
    }
  } finally {
    progress.stop();
  }
  return report;
}

function shippedTraces(): string[] {
  return readdirSync(SHIPPED_TRACES)
    .filter((name) => name.endsWith(".jsonl.gz"))
    .sort()
    .map((name) => join(SHIPPED_TRACES, name));
}

function conformTrace(
  { trace, place }: PlacedTrace,
  profile: string | undefined,
): ShrunkDivergence | undefined {
  const makeMachine = () => machineForTrace(trace, { profile, place });
  const machine = makeMachine();
  try {
    const divergence = replay(trace, machine);
    return divergence && { ...divergence, shortest: shrink(trace, divergence, makeMachine) };
  } finally {
    machine.close();
  }
}
