/** How fast the recorded traces are replayed, on one core: with reading and parsing them, and without. */
import { readdirSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { machineForTrace } from "../src/cli/machines.ts";
import { mixHash } from "../src/lab/hash.ts";
import { type Contender, interleave, median } from "../src/lab/statistics.ts";
import { type Place, parseTrace, replay, type Trace } from "../src/script/index.ts";
import { benchOptions, Report } from "./support/report.ts";

const options = benchOptions();
const rounds = options.rounds ?? (options.quick ? 2 : 9);
const report = new Report("conform", options);
const STEPS_A_SECOND_WANTED = 20_000;
/** `--quick` takes one trace of so many. */
const QUICK_EVERY = 50;

/** Bundled into dist.bench/, beside test/. */
const TRACES = new URL("../test/fixtures/traces/", import.meta.url);

interface Line {
  readonly text: string;
  readonly place: Place;
}

interface PlacedTrace {
  readonly trace: Trace;
  readonly place: Place;
}

const files = readdirSync(TRACES)
  .filter((name) => name.endsWith(".jsonl.gz"))
  .sort()
  .map((name) => ({ name, compressed: readFileSync(new URL(name, TRACES)) }));

function readLines(): Line[] {
  return files.flatMap(({ name, compressed }) =>
    gunzipSync(compressed)
      .toString("utf8")
      .split("\n")
      .map((text, index): Line => ({ text, place: { file: name, line: index + 1 } }))
      .filter(({ text }, index) => text.trim() !== "" && (!options.quick || index % QUICK_EVERY === 0)),
  );
}

function parse({ text, place }: Line): PlacedTrace {
  return { trace: parseTrace(text, place), place };
}

let divergences = 0;
let hash = 0;

function start(): void {
  divergences = 0;
  hash = 0;
}

function replayOne({ trace, place }: PlacedTrace): void {
  const machine = machineForTrace(trace, { profile: undefined, place });
  try {
    const divergence = replay(trace, machine);
    if (divergence !== undefined) divergences++;
    hash = mixHash(hash, divergence?.step ?? -trace.steps.length);
  } finally {
    machine.close();
  }
}

const parsed = readLines().map(parse);
const steps = parsed.reduce((sum, { trace }) => sum + trace.steps.length, 0);
const check = (): number => mixHash(hash, divergences);
const contenders: Contender[] = [
  {
    name: "read, parse and replay",
    prepare: start,
    run: () => {
      for (const line of readLines()) replayOne(parse(line));
    },
    check,
  },
  {
    name: "replay only",
    prepare: start,
    run: () => {
      for (const placed of parsed) replayOne(placed);
    },
    check,
  },
];
const series = await interleave(contenders, { rounds, unitsPerRun: steps, onRound: report.progress });
report.series(`Replaying ${parsed.length} recorded traces, ${steps} steps`, "step", series);
const rates = series.map(({ nsPerUnit }) => 1e9 / median(nsPerUnit));
report.table(
  "Steps a second",
  ["", "median"],
  series.map(({ name }, index) => [name, rates[index].toFixed(0)]),
);
report.data("stepsASecond", rates);
report.data("divergences", divergences);
report.target(
  `read, parse and replay: ${rates[0].toFixed(0)} steps a second, wanted >= ${STEPS_A_SECOND_WANTED}`,
  rates[0] >= STEPS_A_SECOND_WANTED,
);
if (divergences > 0)
  report.note(`${divergences} traces diverge: their steps after the divergence are not replayed`);
report.print();
