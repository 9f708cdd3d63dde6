/**
 * How fast the explorer is: on the model, by one thread and by two; and its search alone against SPIN, on one
 * abstraction written by hand for both.
 */
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { DEFAULT_SCOPE, type ExploreScope, ParallelSearch } from "../src/lab/explore/index.ts";
import { addFirst, Searcher } from "../src/lab/explore/search.ts";
import { StateStore } from "../src/lab/explore/store.ts";
import { type Contender, interleave, median, ratioOf, type Series } from "../src/lab/statistics.ts";
import { benchOptions, Report } from "./support/report.ts";
import { ShmemSpace } from "./support/shmem-space.ts";
import { lackingForSpin, Pan } from "./support/spin.ts";

const options = benchOptions();
const rounds = options.rounds ?? (options.quick ? 2 : 9);
const report = new Report("explore", options);
const ONE_THREAD_WANTED = 200_000;
const TWO_THREADS_WANTED = 1.7;
const SPIN_WANTED = 3;

/**
 * 2 processes, 2 pages, all operations, and programs of any length: 6 operations alone are over too soon to
 * be timed.
 */
const scope: ExploreScope = { ...DEFAULT_SCOPE, sharers: 2, depth: options.quick ? 6 : 64 };
const SHARD = { number: 1, count: 1 };

/** Bundled into dist.bench/, where `parallel.ts` looks for it beside itself; the sources are beside that. */
await build({
  entryPoints: [fileURLToPath(new URL("../src/lab/explore/worker.ts", import.meta.url))],
  outfile: fileURLToPath(new URL("worker.js", import.meta.url)),
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  packages: "external",
  logLevel: "warning",
});

/** Nanoseconds a transition. Threads are started within, and get to full speed only after a while. */
async function searchModel(workers: number): Promise<number> {
  const search = ParallelSearch.begin(scope, SHARD, 200_000);
  const began = performance.now();
  await search.run(workers);
  const ms = performance.now() - began;
  report.hash(search.store.count);
  report.hash(search.tally.transitions);
  return (ms * 1e6) / search.tally.transitions;
}

/** Searches the model; returns nanoseconds a transition by one thread. */
async function model(): Promise<number> {
  const names = ["one thread", "two threads"];
  const times: number[][] = [[], []];
  for (let round = 0; round <= rounds; round++)
    for (const i of round % 2 === 0 ? [0, 1] : [1, 0]) {
      const time = await searchModel(i + 1);
      if (round > 0) times[i].push(time);
      report.progress(`round ${round} of ${rounds}, ${names[i]}`);
    }
  const series: Series[] = names.map((name, i) => ({ name, nsPerUnit: times[i], hash: undefined }));
  report.series("Searching the model", "transition", series);
  const rate = 1e9 / median(times[0]);
  report.data(
    "transitionsASecond",
    times.map((all) => 1e9 / median(all)),
  );
  report.target(
    `one thread: ${rate.toFixed(0)} transitions a second, wanted >= ${ONE_THREAD_WANTED}`,
    rate >= ONE_THREAD_WANTED,
  );
  const speedup = ratioOf(series[0], series[1], options.seed);
  report.data("twoThreads", speedup);
  report.target(
    `two threads: ${speedup.ratio.toFixed(2)} times as fast [${speedup.low.toFixed(2)}, ${speedup.high.toFixed(2)}], ` +
      `wanted >= ${TWO_THREADS_WANTED}`,
    speedup.ratio >= TWO_THREADS_WANTED,
  );
  return median(times[0]);
}

/** One search of the abstraction by the explorer. */
function searchAbstraction(pages: number): { readonly states: number; readonly transitions: number } {
  const space = new ShmemSpace(pages);
  const store = StateStore.create(space.stride, 40 ** pages);
  addFirst(space, store);
  const searcher = new Searcher(space, store);
  for (const _ of searcher.run(1));
  return { states: store.count, transitions: searcher.tally.transitions };
}

async function againstSpin(nsOnTheModel: number): Promise<void> {
  const lacking = lackingForSpin();
  if (lacking !== undefined) {
    report.note(`no comparison with SPIN: ${lacking}`);
    return;
  }
  const pages = options.quick ? 2 : 3;
  using pan = new Pan(fileURLToPath(new URL("../bench/spin/shmem.pml", import.meta.url)), pages);
  let ours = searchAbstraction(pages);
  let spins = pan.run();
  if (ours.states !== spins.states)
    throw new Error(`the explorer finds ${ours.states} states, SPIN ${spins.states}`);
  const contenders: Contender[] = [
    {
      name: "the explorer's search",
      run: () => {
        ours = searchAbstraction(pages);
      },
      check: () => ours.states,
    },
    {
      name: "SPIN, started and run",
      run: () => {
        spins = pan.run();
      },
      check: () => spins.states,
    },
  ];
  const series = await interleave(contenders, {
    rounds,
    unitsPerRun: ours.transitions,
    onRound: report.progress,
  });
  report.series(
    `The abstraction with ${pages} pages: ${ours.states} states, ${ours.transitions} transitions`,
    "transition",
    series,
  );
  if (spins.transitions !== ours.transitions) report.note(`SPIN counts ${spins.transitions} transitions`);
  const ratio = ratioOf(series[0], series[1], options.seed);
  const onTheModel = nsOnTheModel / median(series[1].nsPerUnit);
  report.data("againstSpin", ratio);
  report.data("modelAgainstSpin", onTheModel);
  report.table(
    "How many times as long as SPIN",
    ["a transition", "ratio"],
    [
      ["of the abstraction, by the explorer's search", ratio.ratio.toFixed(2)],
      [
        "of the model: a whole operation of the kernel, with its state restored, renumbered and kept",
        onTheModel.toFixed(1),
      ],
    ],
  );
  report.target(
    `${ratio.ratio.toFixed(2)} times as long as SPIN [${ratio.low.toFixed(2)}, ${ratio.high.toFixed(2)}], ` +
      `wanted <= ${SPIN_WANTED}`,
    ratio.ratio <= SPIN_WANTED,
  );
}

await againstSpin(await model());
report.print();
