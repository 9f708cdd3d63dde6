/**
 * What write-protection costs the process that it is put on: at a swap-in, a page-cache fault, a store, an
 * arming pass.
 */
import { MADV, PAGE_SIZE } from "../src/abi/index.ts";
import { Arming } from "../src/lab/live/arming.ts";
import { measureLiveSwapIn } from "../src/lab/live/swap-in.ts";
import { fillPages, WORDS_PER_PAGE } from "../src/lab/page-content.ts";
import { type Contender, interleave, ratioOf, type Series } from "../src/lab/statistics.ts";
import { ZramSwap } from "../src/linux/index.ts";
import { SharedMemory, touchEveryPage } from "../src/linux/shared-memory.ts";
import { benchOptions, mebibytes, Report, ratioText } from "./support/report.ts";

const options = benchOptions();
const sizePages = options.quick ? 4096 : 2 ** 18;
const rounds = options.rounds ?? (options.quick ? 3 : 21);
const report = new Report("overhead", options);
const { seed } = options;
const NAME = "ptemark-bench";
const SIZE = mebibytes(sizePages * PAGE_SIZE);

/** Stores what is there already, a word a page, so that contents stay what they are. */
function storeToEveryPage(words: Uint32Array): void {
  for (let page = 0, at = 0; at < words.length; page++, at += WORDS_PER_PAGE) words[at] = page + 1;
}

/** Everything in memory and mapped. */
function bringIn(memory: SharedMemory): void {
  memory.madvise(0, sizePages, MADV.POPULATE_READ);
}

/** In the page cache, and not mapped. */
function unmap(memory: SharedMemory): void {
  bringIn(memory);
  memory.madvise(0, sizePages, MADV.DONTNEED);
}

/** A load or a store a page, of pages that are in memory. */
function contenders(plain: SharedMemory, memory: SharedMemory, arming: Arming): Contender[] {
  const store =
    ({ words }: SharedMemory) =>
    () =>
      storeToEveryPage(words);
  const load =
    ({ words }: SharedMemory) =>
    () =>
      void touchEveryPage(words);
  return [
    { name: "load from the page cache, plain", prepare: () => unmap(plain), run: load(plain) },
    {
      name: "load from the page cache, registered",
      prepare: () => {
        arming.disarm();
        unmap(memory);
      },
      run: load(memory),
    },
    { name: "store to a mapped page, plain", prepare: () => bringIn(plain), run: store(plain) },
    {
      name: "store to a mapped page, armed",
      prepare: () => {
        bringIn(memory);
        arming.arm();
      },
      run: store(memory),
    },
    {
      name: "arming pass, all pages written",
      prepare: () => {
        bringIn(memory);
        arming.disarm();
      },
      run: () => arming.arm(),
    },
    {
      name: "arming pass, no page written",
      prepare: () => {
        bringIn(memory);
        arming.arm();
      },
      run: () => arming.arm(),
    },
  ];
}

async function swapIn(): Promise<void> {
  const { rows, device } = await measureLiveSwapIn({
    sizePages,
    rounds,
    seed,
    device: "zram",
    onProgress: report.progress,
  });
  const series = rows.map(({ name, microseconds }): Series => {
    return { name, nsPerUnit: microseconds.map((us) => (us * 1000) / sizePages), hash: undefined };
  });
  report.series(`Swap-in of ${SIZE} from ${device}, sequential, every byte checked`, "page", series);
  const [plain, registered, markers] = series;
  const overPlain = ratioOf(markers, plain, seed);
  compare("Swap-in, how many times as long (95 % confidence)", [
    ["registered / plain", registered, plain],
    ["registered and armed: markers / plain", markers, plain],
  ]);
  report.target(
    `swap-in, markers / plain: ${ratioText(overPlain)}, wanted <= 1.008 (the RFC's), or an interval that holds it`,
    overPlain.low <= 1.008,
  );
}

async function inMemory(): Promise<void> {
  using plain = new SharedMemory(sizePages, NAME);
  using memory = new SharedMemory(sizePages, NAME);
  using arming = new Arming(memory);
  for (const { words } of [plain, memory]) fillPages(words, { kind: "incompressible", seed });
  const series = await interleave(contenders(plain, memory, arming), {
    rounds,
    unitsPerRun: sizePages,
    onRound: report.progress,
  });
  report.series(`${SIZE} in memory, an access a page, in order`, "page", series);
  const [loadPlain, loadRegistered, storePlain, storeArmed] = series;
  compare("How many times as long (95 % confidence)", [
    ["load from the page cache: registered / plain (the lost fault-around)", loadRegistered, loadPlain],
    ["store: armed / plain", storeArmed, storePlain],
  ]);
}

function compare(title: string, pairs: [what: string, over: Series, under: Series][]): void {
  const ratios = pairs.map(([what, over, under]) => ({ what, ratio: ratioOf(over, under, seed) }));
  report.table(
    title,
    ["", "ratio"],
    ratios.map(({ what, ratio }) => [what, ratioText(ratio)]),
  );
  report.data(title, ratios);
}

const needs = ZramSwap.obstacle();
if (needs === undefined) {
  await swapIn();
  await inMemory();
} else report.note(`nothing is measured: needs ${needs}`);
report.print();
