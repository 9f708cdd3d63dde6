/** What write-protection costs the process that it is put on: at a swap-in, a page-cache fault, a store, an arming pass. */
import { MADV, PAGE_SIZE } from "../src/abi/index.ts";
import { checkPages, fillPages, WORDS_PER_PAGE } from "../src/lab/page-content.ts";
import { type Contender, interleave, ratioOf, type Series } from "../src/lab/statistics.ts";
import { ZramSwap } from "../src/linux/index.ts";
import { SharedMemory, touchEveryPage } from "../test/support/shared-memory.ts";
import { ArmedMemory } from "./support/armed-memory.ts";
import { benchOptions, mebibytes, Report, ratioText } from "./support/report.ts";

const options = benchOptions();
const sizePages = options.quick ? 4096 : 2 ** 18;
const rounds = options.rounds ?? (options.quick ? 3 : 21);
const report = new Report("overhead", options);
const { seed } = options;
const NAME = "ptemark-bench";

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

function majorFaults(): number {
  return process.resourceUsage().majorPageFault;
}

function swapIn(memory: SharedMemory, name: string, prepare: () => void): Contender {
  let before = 0;
  return {
    name,
    prepare: () => {
      bringIn(memory);
      prepare();
      memory.pageOut();
      before = majorFaults();
    },
    run: () => void touchEveryPage(memory.words),
    check: () => {
      if (majorFaults() - before < sizePages) throw new Error(`${name}: not every page was swapped in`);
      return checkPages(memory.words, { kind: "incompressible", seed, what: name });
    },
  };
}

function contenders(plain: SharedMemory, armed: ArmedMemory): Contender[] {
  const store = (memory: SharedMemory) => () => storeToEveryPage(memory.words);
  const touch = (memory: SharedMemory) => () => void touchEveryPage(memory.words);
  return [
    swapIn(plain, "swap-in, plain", () => {}),
    swapIn(armed, "swap-in, registered", () => armed.disarm()),
    swapIn(armed, "swap-in, armed: markers", () => armed.arm()),
    { name: "read from the page cache, plain", prepare: () => unmap(plain), run: touch(plain) },
    {
      name: "read from the page cache, registered",
      prepare: () => {
        armed.disarm();
        unmap(armed);
      },
      run: touch(armed),
    },
    { name: "store to a present page, plain", prepare: () => bringIn(plain), run: store(plain) },
    {
      name: "store to an armed page",
      prepare: () => {
        bringIn(armed);
        armed.arm();
      },
      run: store(armed),
    },
    {
      name: "arming pass, all pages written",
      prepare: () => {
        bringIn(armed);
        armed.disarm();
      },
      run: () => armed.arm(),
    },
    {
      name: "arming pass, no page written",
      prepare: () => {
        bringIn(armed);
        armed.arm();
      },
      run: () => armed.arm(),
    },
  ];
}

async function measure(): Promise<void> {
  using zram = await ZramSwap.create({ sizeBytes: 3 * sizePages * PAGE_SIZE });
  using plain = new SharedMemory(sizePages, NAME);
  using armed = new ArmedMemory(sizePages, NAME);
  for (const memory of [plain, armed]) fillPages(memory.words, { kind: "incompressible", seed });
  const series = await interleave(contenders(plain, armed), {
    rounds,
    unitsPerRun: sizePages,
    onRound: report.progress,
  });
  report.series(
    `${mebibytes(sizePages * PAGE_SIZE)} of shared memory, an access a page, in order`,
    "page",
    series,
  );
  report.note(`zram compresses with ${zram.algorithm}, and stores the incompressible pages raw`);
  compare(series);
}

function compare(series: readonly Series[]): void {
  const [swapPlain, swapRegistered, swapMarkers, readPlain, readRegistered, storePlain, storeArmed] = series;
  const pairs: [string, Series, Series, string][] = [
    ["swap-in: markers / plain", swapMarkers, swapPlain, "<= 1.008 (the RFC's)"],
    ["swap-in: registered / plain", swapRegistered, swapPlain, ""],
    ["page cache: registered / plain (the lost fault-around)", readRegistered, readPlain, ""],
    ["store: armed / plain", storeArmed, storePlain, ""],
  ];
  report.table(
    "How many times as long (95 % confidence)",
    ["", "ratio", "wanted"],
    pairs.map(([what, over, under, wanted]) => [what, ratioText(ratioOf(over, under, seed)), wanted]),
  );
  const markers = ratioOf(swapMarkers, swapPlain, seed);
  report.target(
    `swap-in, markers / plain: ${ratioText(markers)}, wanted <= 1.008, or an interval that holds it`,
    markers.low <= 1.008,
  );
  for (const [what, over, under] of pairs) report.data(what, ratioOf(over, under, seed));
}

const needs = ZramSwap.obstacle();
if (needs === undefined) await measure();
else report.note(`nothing is measured: needs ${needs}`);
report.print();
