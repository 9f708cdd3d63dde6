/**
 * What reading pagemap costs and how right it is: without markers, with markers, and with the rival's look-up, for
 * ranges of shared memory in several states.
 */

import { PAGE_SIZE, PAGEMAP_ENTRY_BYTES, PM_HI_SWAP } from "../abi/index.ts";
import { Kernel, type KernelConfig, type Memfd, MemorySwapDevice, type Process } from "../model/index.ts";
import { mixHash } from "./hash.ts";
import { type Contender, interleave, median, type Ratio, ratioOf, type Series } from "./statistics.ts";

/** The first is what the others are compared with. */
export const PAGEMAP_CONFIGS: readonly { readonly name: string; readonly config: Partial<KernelConfig> }[] = [
  { name: "none", config: { PTE_MARKER_PAGEOUT: false } },
  { name: "marker", config: {} },
  { name: "look-up", config: { PTE_MARKER_PAGEOUT: false, PAGEMAP_SHMEM_LOOKUP: true } },
];

/** How a range is when it is read: every so manyth page is swapped out, or it was brought about otherwise. */
export interface RangeState {
  readonly name: string;
  /** Every so manyth page is in swap, the others are present; 0 for none. */
  readonly swappedEvery: number;
  readonly touched: boolean;
  /** Pagemap is that of a second mapping, of a process that never touched it. */
  readonly throughNewMapping: boolean;
}

const state = (name: string, swappedEvery: number, other: Partial<RangeState> = {}): RangeState => ({
  name,
  swappedEvery,
  touched: true,
  throughNewMapping: false,
  ...other,
});

export const RANGE_STATES: readonly RangeState[] = [
  state("present", 0),
  state("never touched", 0, { touched: false }),
  state("swapped", 1),
  state("every 2nd page swapped", 2),
  state("every 64th page swapped", 64),
  state("swapped, seen by a new mapping", 1, { throughNewMapping: true }),
];

export interface PagemapCost {
  readonly state: string;
  readonly config: string;
  readonly nsPerEntry: number;
  /** Against no markers in the same state: of medians, with its interval. Undefined for that one itself. */
  readonly change: Ratio | undefined;
  readonly lookupsPerEntry: number;
  /** Entries whose PM_SWAP is set though the page is not in swap, and those where it should be and is not. */
  readonly falsePositives: number;
  readonly falseNegatives: number;
}

export interface PagemapCostOptions {
  readonly sizePages: number;
  readonly rounds: number;
  readonly seed: number;
  readonly onProgress?: (label: string) => void;
}

/**
 * Entries a read. Not a whole page table, of which the model would keep what it encoded: the running kernel keeps
 * nothing either.
 */
const ENTRIES_PER_READ = 256;

/** Frames beside those of the range, so that nothing is reclaimed. */
const SPARE_FRAMES = 4096;

class Range {
  readonly #kernel: Kernel;
  readonly #object: Memfd;
  readonly #reader: Process;
  readonly #address: number;
  readonly #words: Uint32Array;
  readonly #sizePages: number;

  constructor(config: Partial<KernelConfig>, wanted: RangeState, sizePages: number) {
    const kernel = new Kernel({
      profile: "rfc",
      config,
      memoryPages: sizePages + SPARE_FRAMES,
      swap: [new MemorySwapDevice({ slots: sizePages + 1 })],
      contents: false,
    });
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages });
    const lengthBytes = sizePages * PAGE_SIZE;
    const address = process.mmap({ lengthBytes, object, shared: true, write: true });
    if (wanted.touched) process.touchWrite(address, lengthBytes);
    if (wanted.swappedEvery === 1) process.madvise(address, lengthBytes, "PAGEOUT");
    else if (wanted.swappedEvery > 1)
      for (let page = 0; page < sizePages; page += wanted.swappedEvery)
        process.madvise(address + page * PAGE_SIZE, PAGE_SIZE, "PAGEOUT");
    this.#kernel = kernel;
    this.#object = object;
    this.#sizePages = sizePages;
    this.#words = new Uint32Array(sizePages * 2);
    this.#reader = process;
    this.#address = address;
    if (wanted.throughNewMapping) {
      this.#reader = kernel.createProcess();
      this.#address = this.#reader.mmap({ lengthBytes, object, shared: true });
    }
  }

  read(): void {
    const { pagemap } = this.#reader;
    const first = (this.#address / PAGE_SIZE) * PAGEMAP_ENTRY_BYTES;
    const bytes = new Uint8Array(this.#words.buffer);
    const step = ENTRIES_PER_READ * PAGEMAP_ENTRY_BYTES;
    for (let at = 0; at < bytes.length; at += step) pagemap.pread(bytes.subarray(at, at + step), first + at);
  }

  lookups(): number {
    const before = this.#kernel.work.pageCacheLookups;
    this.read();
    return this.#kernel.work.pageCacheLookups - before;
  }

  /** PM_SWAP as last read, against the object. */
  errors(): { falsePositives: number; falseNegatives: number } {
    let falsePositives = 0;
    let falseNegatives = 0;
    for (let page = 0; page < this.#sizePages; page++) {
      const isSet = (this.#words[page * 2 + 1] & PM_HI_SWAP) !== 0;
      const isSwapped = this.#object.pageState(page) === "swapped";
      if (isSet && !isSwapped) falsePositives++;
      if (!isSet && isSwapped) falseNegatives++;
    }
    return { falsePositives, falseNegatives };
  }

  /** Of the flags: frame numbers are anyone's. */
  hash(): number {
    let hash = 0;
    for (let at = 1; at < this.#words.length; at += 2) hash = mixHash(hash, this.#words[at] & 0xff800000);
    return hash;
  }
}

/** Every configuration, in every state. */
export async function measureModelPagemap(options: PagemapCostOptions): Promise<PagemapCost[]> {
  const { sizePages, rounds, seed } = options;
  const costs: PagemapCost[] = [];
  for (const wanted of RANGE_STATES) {
    const ranges = PAGEMAP_CONFIGS.map(({ config }) => new Range(config, wanted, sizePages));
    const contenders = ranges.map(
      (range, index): Contender => ({
        name: PAGEMAP_CONFIGS[index].name,
        run: () => range.read(),
        check: () => range.hash(),
      }),
    );
    const series = await interleave(contenders, {
      rounds,
      warmUpRounds: 5,
      unitsPerRun: sizePages,
      onRound: (label) => options.onProgress?.(`pagemap, ${wanted.name}: ${label}`),
    });
    ranges.forEach((range, index) => {
      costs.push({
        state: wanted.name,
        config: PAGEMAP_CONFIGS[index].name,
        nsPerEntry: median(series[index].nsPerUnit),
        change: changeAgainstFirst(series, index, seed),
        lookupsPerEntry: range.lookups() / sizePages,
        ...range.errors(),
      });
    });
  }
  return costs;
}

function changeAgainstFirst(series: readonly Series[], index: number, seed: number): Ratio | undefined {
  return index === 0 ? undefined : ratioOf(series[index], series[0], seed);
}
