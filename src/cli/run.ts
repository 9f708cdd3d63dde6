import { readFile } from "node:fs/promises";
import { basename, extname } from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import { type Command, Option } from "commander";
import pc from "picocolors";
import {
  DEFAULT_PROFILE,
  type MarkerLayout,
  makeConfig,
  markerLayoutOf,
  nearestProfile,
} from "../model/index.ts";
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
  type TraceHeader,
} from "../script/index.ts";
import { InputError } from "./errors.ts";
import { machineForProgram, traceHeaderOf } from "./machines.ts";
import { unreadable } from "./trace-files.ts";

interface RunOptions {
  readonly backend: "model" | "linux";
  readonly profile?: string;
  readonly json?: boolean;
}

export function addRun(program: Command): void {
  program
    .command("run")
    .summary("run a program of memory operations")
    .description(
      "Runs a program in the op language on the model, or on this kernel, and shows what each step changed. " +
        "On this kernel it needs root; its processes are real, and swap is a zram device of its own.",
    )
    .argument("<file>", "the program; - reads standard input")
    .addOption(
      new Option("-b, --backend <name>", "what it runs on: the model, or this kernel")
        .choices(["model", "linux"])
        .default("model"),
    )
    .option("-p, --profile <name>", "the kernel to be: rfc (if not given), linux-6.1, linux-6.18")
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
  sudo ptemark run --backend linux program.ops
  echo "obj o0 1" | ptemark run --json -

Exit codes: 0 it ran, 2 the program can't be used, 3 this kernel or these privileges don't allow it.`,
    )
    .action(run);
}

/** What a program runs on, and what is said of it. */
interface Stage {
  readonly machine: Machine;
  readonly header: Pick<TraceHeader, "kernel" | "config">;
  readonly layout: MarkerLayout | undefined;
}

async function run(file: string, { backend, profile, json }: RunOptions): Promise<void> {
  if (backend === "linux" && profile !== undefined) {
    const mend = "leave --profile out, or run on the model";
    throw new InputError(
      `--profile is the kernel for the model to be, and --backend linux is this one: ${mend}`,
    );
  }
  if (profile !== undefined) makeConfig(profile);
  const program = parseProgram(await readProgram(file), { file: file === "-" ? "stdin" : file });
  const show = json ? printTrace : printTable;
  if (backend === "linux") await onLinux((stage) => show(program, stage));
  else onModel(profile ?? DEFAULT_PROFILE, (stage) => show(program, stage));
}

function onModel(profile: string, use: (stage: Stage) => void): void {
  const machine = machineForProgram(profile);
  try {
    use({ machine, header: traceHeaderOf(profile), layout: markerLayoutOf(makeConfig(profile)) });
  } finally {
    machine.close();
  }
}

async function onLinux(use: (stage: Stage) => void): Promise<void> {
  const { LinuxHost, createLinuxMachine } = await import("../script/linux-machine.ts");
  const host = await LinuxHost.create();
  try {
    const { header } = host;
    const layout = markerLayoutOf(makeConfig(nearestProfile(header.kernel)));
    const machine = createLinuxMachine(host);
    try {
      use({ machine, header, layout });
    } finally {
      machine.close();
    }
  } finally {
    host[Symbol.dispose]();
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
function printTable(program: Program, { machine, layout }: Stage): void {
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

function printTrace(program: Program, { machine, header }: Stage): void {
  const id = basename(program.file, extname(program.file));
  const steps = [...runProgram(program, machine)];
  process.stdout.write(`${formatTrace({ id, ...header, steps })}\n`);
}
