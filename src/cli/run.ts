import { readFile } from "node:fs/promises";
import { basename, extname } from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import type { Command } from "commander";
import pc from "picocolors";
import { DEFAULT_PROFILE, type KernelConfig, makeConfig, markerLayoutOf } from "../model/index.ts";
import {
  formatTrace,
  INITIAL_OBSERVATION,
  type Machine,
  type Observation,
  type Program,
  parseProgram,
  runProgram,
  stepLines,
  TABLE_LEGEND,
  type TableLine,
} from "../script/index.ts";
import { machineForProgram, traceHeaderOf } from "./machines.ts";
import { unreadable } from "./trace-files.ts";

interface RunOptions {
  readonly profile: string;
  readonly json?: boolean;
}

export function addRun(program: Command): void {
  program
    .command("run")
    .summary("run a program of memory operations")
    .description("Runs a program in the op language on the model, and shows after each step what it changed.")
    .argument("<file>", "the program; - reads standard input")
    .option("-p, --profile <name>", "the kernel to be: rfc, linux-6.1, linux-6.18", DEFAULT_PROFILE)
    .option("--json", "print the whole run as one recorded trace, one line of JSON")
    .addHelpText(
      "after",
      `
A program has one op a line; # starts a comment:
  obj o0 2                    # a shmem object of 2 pages
  map A v0 o0 0 2 rw          # process A maps its pages 0 and 1 as v0
  write A v0 0 2
  madvise A v0 0 1 PAGEOUT    # the first of them

Examples:
  ptemark run program.ops
  ptemark run --profile linux-6.1 program.ops
  echo "obj o0 1" | ptemark run --json -`,
    )
    .action(run);
}

async function run(file: string, { profile, json }: RunOptions): Promise<void> {
  const config = makeConfig(profile);
  const program = parseProgram(await readProgram(file), { file: file === "-" ? "stdin" : file });
  const machine = machineForProgram(profile);
  try {
    if (json) printTrace(program, machine, profile);
    else printTable(program, machine, config);
  } finally {
    machine.close();
  }
}

async function readProgram(file: string): Promise<string> {
  if (file === "-") return await text(process.stdin);
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw unreadable(file, error);
  }
}

/** Streams, so that the steps before a failure are seen. */
function printTable(program: Program, machine: Machine, config: KernelConfig): void {
  const layout = markerLayoutOf(config);
  for (const line of TABLE_LEGEND) process.stdout.write(`${pc.dim(line)}\n`);
  let before: Observation = INITIAL_OBSERVATION;
  let number = 0;
  for (const step of runProgram(program, machine)) {
    for (const line of stepLines({ step, number: ++number, before }, layout)) {
      process.stdout.write(`${colour(line)}\n`);
    }
    before = step;
  }
}

function colour({ kind, text }: TableLine): string {
  switch (kind) {
    case "op":
      return pc.bold(text);
    case "failed-op":
      return pc.bold(pc.red(text));
    case "pages":
      return text;
    case "detail":
      return pc.dim(text);
  }
}

function printTrace(program: Program, machine: Machine, profile: string): void {
  const id = basename(program.file, extname(program.file));
  const steps = [...runProgram(program, machine)];
  process.stdout.write(`${formatTrace({ id, ...traceHeaderOf(profile), steps })}\n`);
}
