import { readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { replay, shrink } from "../script/index.ts";
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
}

export function addConform(program: Command): void {
  program
    .command("conform")
    .summary("compare the model with recorded kernels")
    .description(
      "Replays recorded traces on the model and compares everything that it shows after every step.\n" +
        "For each trace that differs it tells where first, and the shortest program that does.",
    )
    .argument("[files...]", "recorded traces, .jsonl or .jsonl.gz; - reads standard input")
    .option("-p, --profile <name>", "the kernel to be, whatever the traces say: rfc, linux-6.1, linux-6.18")
    .option("--sample", "replay a sample of the traces that come with ptemark")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
Examples:
  ptemark conform --sample
  ptemark conform rfc.jsonl.gz stock61.jsonl.gz
  ptemark conform --profile linux-6.1 --json rfc.jsonl.gz

Exit codes: 0 the model agrees, 1 it differs, 2 the input can't be used.`,
    )
    .action(conform);
}

async function conform(files: readonly string[], { profile, json, sample }: ConformOptions): Promise<void> {
  if (sample ? files.length > 0 : files.length === 0) {
    throw new InputError("conform takes either --sample or files with recorded traces");
  }
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
  process.stdout.write(json ? report.toJson() : report.toText());
  if (report.divergences.length > 0) process.exitCode = EXIT.FOUND;
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
