import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { availableParallelism, freemem } from "node:os";
import process from "node:process";
import { type Command, InvalidArgumentError, Option } from "commander";
import {
  bytesPerState,
  checkScope,
  DEFAULT_SCOPE,
  DEFAULT_STAGES,
  type Exploration,
  type ExploreScope,
  estimate,
  type Finding,
  KernelSpace,
  loadSearch,
  mergeFindings,
  OP_KINDS,
  type OpKind,
  ParallelSearch,
  type Shard,
  saveSearch,
  tellExploration,
} from "../lab/explore/index.ts";
import { EXIT, InputError } from "./errors.ts";
import { replayMoves, walkRandomly } from "./explore-replay.ts";
import { ExploreReport } from "./explore-report.ts";
import { Progress } from "./progress.ts";
import { unreadable } from "./trace-files.ts";
import { version } from "./version.ts";
import { writeWhole } from "./write-whole.ts";

/** Options as they are given; of the scope only those that are. */
interface Options extends Partial<Omit<ExploreScope, "config">> {
  readonly stages?: boolean;
  readonly config?: ExploreScope["config"];
  readonly workers: number;
  readonly shard: Shard;
  readonly memory?: number;
  readonly checkpoint?: string;
  readonly resume?: string;
  readonly merge?: readonly string[];
  readonly replay?: readonly number[];
  readonly program?: boolean;
  readonly random?: number;
  readonly seed: number;
  readonly json?: boolean;
}

const SCOPE_OPTIONS = [
  "profile",
  "config",
  "processes",
  "sharers",
  "pages",
  "depth",
  "ops",
  "swapPages",
  "device",
  "accesses",
  "pageOuts",
  "calls",
] as const;
const PROGRESS_MS = 200;
const MIB = 2 ** 20;
const WORKERS_MAX = 256;
const BUFFER_BYTES_MAX = 2 ** 31;

export function addExplore(program: Command): void {
  program
    .command("explore")
    .summary("search all programs, or all interleavings, within a scope")
    .description(
      "Runs every program of memory operations within a scope on the model, or (--stages) every interleaving " +
        "of faults, a page-out and a call, and checks each state: invariants, data, and PM_SWAP both ways. Of every " +
        "kind of thing that it finds it tells the shortest way there, and a command that replays it.",
    )
    .option(
      "--stages",
      "interleave the stages of tasks: 2 accesses, 1 page-out and 1 call, after 2 operations",
    )
    .option("-p, --profile <name>", "the kernel to be: rfc, linux-6.1, linux-6.18")
    .option(
      "--config <switches>",
      "the profile's switches set otherwise: NAME=VALUE,NAME=VALUE",
      readSwitches,
    )
    .option("--processes <n>", "processes at the most (2)", readCount)
    .option("--sharers <n>", "processes that map the object at first (1; with --stages 2)", readCount)
    .option("--pages <n>", "pages of the object (2; with --stages 1)", readCount)
    .option("--depth <n>", "operations in a program (6), or before the tasks (2)", readCount)
    .option("--ops <names>", `which operations: ${OP_KINDS.join(",")}`, readOps)
    .option("--swap-pages <n>", "pages that fit in swap (as many as the object has)", readCount)
    .option("--device <kind>", "zram, where page-out frees a page at once, or disk")
    .option("--accesses <n>", "loads and stores that are interleaved", readCount)
    .option("--page-outs <n>", "page-outs that are interleaved", readCount)
    .option("--calls <n>", "operations that come between the stages", readCount)
    .option("-w, --workers <n>", "threads (one a core)", readWorkers, availableParallelism())
    .addOption(
      new Option("--shard <i/n>", "search the i-th of n parts")
        .argParser(readShard)
        .default({ number: 1, count: 1 }, "1/1"),
    )
    .option("--merge <files...>", "put the --json results of all shards together")
    .option("--memory <MiB>", "the most that states may take (half of what is free)", readCount)
    .option("--checkpoint <file>", "where to keep the search if it is stopped")
    .option("--resume <file>", "go on with a search that was kept")
    .option("--replay <moves>", "run the moves of a finding, and show each state", readMoves)
    .option("--program", "of a replay, print only the program, in the op language")
    .option("--random <n>", "n random walks instead of a search; deeper than one can go", readCount)
    .option("--seed <n>", "where random walks begin", readCount, 1)
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
Examples:
  ptemark explore
  ptemark explore --stages
  ptemark explore --processes 3 --pages 3 --depth 5 --checkpoint big.explore
  ptemark explore --shard 1/2 --json > one.json; ptemark explore --shard 2/2 --json > two.json
  ptemark explore --merge one.json two.json

Ctrl-C ends a search with what it has found so far.
Exit codes: 0 nothing is broken (PM_SWAP may be wrong: that is told); 1 something is, or not all was covered;
2 the input can't be used.`,
    )
    .action(explore);
}

async function explore(options: Options): Promise<void> {
  if (options.merge) {
    printMerged(await readResults(options.merge), options.json === true);
    return;
  }
  if (options.resume !== undefined) {
    const given = SCOPE_OPTIONS.filter((name) => options[name] !== undefined);
    if (given.length > 0 || options.stages)
      throw new InputError(`--resume: the scope is in ${options.resume}: leave out what sets another`);
    await search(await readCheckpoint(options.resume, options), options);
    return;
  }
  const scope = scopeOf(options);
  if (options.replay) {
    process.stdout.write(replayMoves(scope, options.replay, options.program === true));
    return;
  }
  if (options.random !== undefined) {
    const { text, isBroken } = walkRandomly(scope, { runs: options.random, seed: options.seed });
    process.stdout.write(text);
    if (isBroken) process.exitCode = EXIT.FOUND;
    return;
  }
  const expected = estimate(scope);
  const limit = memoryLimit(options);
  const amount = `${expected.isExact ? "" : "about "}${count(expected.states)} states, ${mib(expected.bytes)}`;
  if (expected.bytes > limit)
    throw new InputError(
      `scope too large for memory: ${amount} are expected, and ${mib(limit)} may be used: choose less with --depth, ` +
        "--pages, --processes or --ops, or allow more with --memory",
    );
  if (!options.json) process.stderr.write(`expected: ${amount}\n`);
  const { stride } = new KernelSpace(scope);
  const capacity = Math.min(
    Math.floor(limit / bytesPerState(stride)),
    Math.max(100_000, expected.states * 8),
  );
  await search(ParallelSearch.begin(scope, options.shard, capacity), options, expected.states);
}

function scopeOf(options: Options): ExploreScope {
  const base = options.stages ? DEFAULT_STAGES : DEFAULT_SCOPE;
  const given = Object.fromEntries(
    SCOPE_OPTIONS.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]),
  );
  const pages = options.pages ?? base.pages;
  const swapPages = options.swapPages ?? pages;
  return checkScope({ ...base, ...given, swapPages });
}

/** States that fit in so many bytes; and their vectors in one buffer. */
function roomFor(limitBytes: number, stride: number): number {
  return Math.floor(Math.min(limitBytes / bytesPerState(stride), BUFFER_BYTES_MAX / stride));
}

function memoryLimit({ memory }: Options): number {
  return memory === undefined ? freemem() / 2 : memory * MIB;
}

async function search(running: ParallelSearch, options: Options, expected = 0): Promise<void> {
  const progress = new Progress(1000);
  const began = performance.now();
  const before = running.tally.transitions;
  const timer = setInterval(() => {
    const { store } = running;
    const perSecond = ((store.taken - before) / (performance.now() - began)) * 1000;
    const share = expected === 0 ? store.progress : Math.min(0.999, store.count / expected);
    progress.update(
      share * 1000,
      `level ${store.level}, ${count(store.count)} states, ${count(perSecond)} transitions/s`,
    );
  }, PROGRESS_MS);
  const onInterrupt = (): void => running.stop();
  process.once("SIGINT", onInterrupt);
  try {
    await running.run(options.workers);
  } finally {
    clearInterval(timer);
    progress.stop();
    process.removeListener("SIGINT", onInterrupt);
  }
  const seconds = (performance.now() - began) / 1000;
  const told = tellExploration(running.space, running.store, running);
  const kept = await keep(running, told, options);
  const report = new ExploreReport(told);
  if (options.json) process.stdout.write(report.toJson());
  else {
    process.stdout.write(report.toText());
    const perSecond = (told.transitions - before) / seconds;
    process.stderr.write(`${count(perSecond)} transitions a second, by ${options.workers} threads\n${kept}`);
  }
  if (told.end !== "complete" || report.isBroken) process.exitCode = EXIT.FOUND;
}

/** Keeps a search that was stopped. Returns what is to be said of it. */
async function keep(running: ParallelSearch, { end }: Exploration, options: Options): Promise<string> {
  const file = options.checkpoint ?? options.resume;
  if (end !== "stopped") return "";
  if (file === undefined) return "nothing was kept to go on with: give --checkpoint FILE for that\n";
  await writeWhole(file, saveSearch(running, version));
  return `to go on: ptemark explore --resume ${file}\n`;
}

async function readCheckpoint(file: string, options: Options): Promise<ParallelSearch> {
  const limit = memoryLimit(options);
  return loadSearch(await readBytes(file), {
    file,
    version,
    capacityFor: (states, stride) => {
      const room = roomFor(limit, stride);
      if (room < states)
        throw new InputError(
          `${file}: ${count(states)} states don't fit in ${mib(limit)}: allow more with --memory`,
        );
      return Math.min(room, Math.max(100_000, states * 100));
    },
  });
}

async function readBytes(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (error) {
    throw unreadable(file, error);
  }
}

async function readResults(files: readonly string[]): Promise<Exploration[]> {
  const results: Exploration[] = [];
  for (const file of files) {
    if (!existsSync(file)) throw new InputError(`${file}: no such file`);
    const result = parseResult(new TextDecoder().decode(await readBytes(file)), file);
    const [first] = results;
    if (first !== undefined && JSON.stringify(first.scope) !== JSON.stringify(result.scope))
      throw new InputError(`${file}: another scope than that of ${files[0]}: merge shards of one search`);
    if (first !== undefined && first.shard.count !== result.shard.count)
      throw new InputError(
        `${file}: one of ${result.shard.count} shards, and ${files[0]} is one of ${first.shard.count}`,
      );
    if (results.some(({ shard }) => shard.number === result.shard.number))
      throw new InputError(`${file}: shard ${result.shard.number} is given twice`);
    results.push(result);
  }
  const [first] = results;
  if (first !== undefined && results.length < first.shard.count) {
    const missing = Array.from({ length: first.shard.count }, (_, i) => i + 1).filter(
      (number) => !results.some(({ shard }) => shard.number === number),
    );
    throw new InputError(`--merge: of ${first.shard.count} shards, ${missing.join(", ")} not given`);
  }
  return results;
}

function parseResult(text: string, file: string): Exploration {
  try {
    const result = JSON.parse(text) as Partial<Exploration> | null;
    if (result?.scope && result.shard && Array.isArray(result.findings)) return result as Exploration;
  } catch {
    // told below
  }
  throw new InputError(`${file}: not a result of "ptemark explore --json"`);
}

function printMerged(results: readonly Exploration[], json: boolean): void {
  const findings: Finding[] = mergeFindings(results.map((result) => result.findings));
  const sum = (of: (result: Exploration) => number): number =>
    results.reduce((total, one) => total + of(one), 0);
  const report = new ExploreReport({
    scope: results[0].scope,
    shard: { number: 1, count: 1 },
    end: results.find(({ end }) => end !== "complete")?.end ?? "complete",
    states: sum(({ states }) => states),
    transitions: sum(({ transitions }) => transitions),
    depth: Math.max(...results.map(({ depth }) => depth)),
    findings,
  });
  process.stdout.write(json ? report.toJson() : report.toText());
  if (report.isBroken || results.some(({ end }) => end !== "complete")) process.exitCode = EXIT.FOUND;
}

function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

function mib(bytes: number): string {
  return `${count(Math.max(1, bytes / MIB))} MiB`;
}

function readCount(text: string): number {
  if (!/^\d{1,12}$/.test(text)) throw new InvalidArgumentError("It must be a number.");
  return Number(text);
}

function readWorkers(text: string): number {
  const workers = readCount(text);
  if (workers < 1 || workers > WORKERS_MAX) throw new InvalidArgumentError(`It must be 1 to ${WORKERS_MAX}.`);
  return workers;
}

function readOps(text: string): OpKind[] {
  return text.split(",") as OpKind[];
}

function readMoves(text: string): number[] {
  if (!/^\d+(\.\d+)*$/.test(text))
    throw new InvalidArgumentError("It must be numbers with dots between them.");
  return text.split(".").map(Number);
}

function readShard(text: string): Shard {
  const [, number, of] = /^(\d{1,6})\/(\d{1,6})$/.exec(text) ?? [];
  const shard = { number: Number(number), count: Number(of) };
  if (!(shard.number >= 1 && shard.number <= shard.count))
    throw new InvalidArgumentError("It must be I/N with I from 1 to N, as 1/4.");
  return shard;
}

function readSwitches(text: string): ExploreScope["config"] {
  const switches = text.split(",").map((part) => {
    const [, name, value] = /^(\w+)=(\w+)$/.exec(part) ?? [];
    if (name === undefined)
      throw new InvalidArgumentError("It must be NAME=VALUE, with commas between several.");
    return [name, value === "true" ? true : value === "false" ? false : Number(value)];
  });
  return Object.fromEntries(switches);
}
