/**
 * What it costs on the running kernel to ask which pages of a range of shared memory are in swap, and how right the
 * answer is: pagemap by itself, markers, the page cache, and the exact detector.
 */

import process from "node:process";
import { PAGE_IS_SWAPPED, PAGE_SIZE, PM_HI_SWAP } from "../../abi/index.ts";
import { PageCacheView } from "../../linux/page-cache.ts";
import { PagemapFile } from "../../linux/pagemap.ts";
import { PagemapScanner } from "../../linux/pagemap-scan.ts";
import { SharedMemory } from "../../linux/shared-memory.ts";
import {
  ExactDetector,
  LinuxTarget,
  type Mapping,
  STATE_MASK,
  SWAP_CACHED,
  SWAPPED,
} from "../../residency/index.ts";
import { RANGE_STATES, type RangeState } from "../pagemap-cost.ts";
import { type Contender, interleave, median, type Ratio, ratioOf } from "../statistics.ts";
import { Arming } from "./arming.ts";
import { Resources } from "./resources.ts";
import { createSwapSpace } from "./swap-in.ts";

export interface LivePagemapCost {
  readonly state: string;
  readonly method: string;
  readonly nsPerPage: number;
  /** Against reading pagemap of a range that nothing is registered for; undefined for that itself. */
  readonly change: Ratio | undefined;
  readonly falsePositives: number;
  readonly falseNegatives: number;
}

export interface LivePagemapOptions {
  readonly sizePages: number;
  readonly rounds: number;
  readonly seed: number;
  readonly onProgress?: (label: string) => void;
}

/** A way to ask; `run` leaves 1 in `answer` for each page that it takes to be in swap. */
interface Method {
  readonly name: string;
  readonly memory: SharedMemory;
  run(answer: Uint8Array): void;
}

/** All methods, in each state but those that need another process. */
export async function measureLivePagemap(options: LivePagemapOptions): Promise<LivePagemapCost[]> {
  using _swap = await createSwapSpace("zram", 2 * options.sizePages * PAGE_SIZE);
  const costs: LivePagemapCost[] = [];
  for (const wanted of RANGE_STATES)
    if (!wanted.throughNewMapping) costs.push(...(await measureState(wanted, options)));
  return costs;
}

async function measureState(wanted: RangeState, options: LivePagemapOptions): Promise<LivePagemapCost[]> {
  const { sizePages, rounds, seed } = options;
  using resources = new Resources();
  const bare = resources.use(new SharedMemory(sizePages));
  const armed = resources.use(new SharedMemory(sizePages));
  const arming = resources.use(new Arming(armed));
  const ranges = [bare, armed];
  // In turn, so that both lie in physical memory alike: the kernel looks at each present page's frame.
  if (wanted.touched)
    for (let page = 0; page < sizePages; page++) for (const memory of ranges) memory.touch(page);
  for (const memory of ranges) {
    if (memory === armed) arming.arm();
    if (wanted.swappedEvery === 1) memory.pageOut();
    else if (wanted.swappedEvery > 1)
      for (let page = 0; page < sizePages; page += wanted.swappedEvery) memory.pageOut(page, 1);
  }
  const methods = methodsFor(bare, armed, resources);
  const answer = new Uint8Array(sizePages);
  const contenders = methods.map(({ name, run }): Contender => ({ name, run: () => run(answer) }));
  const series = await interleave(contenders, {
    rounds,
    unitsPerRun: sizePages,
    onRound: (label) => options.onProgress?.(`live pagemap, ${wanted.name}: ${label}`),
  });
  return methods.map(({ name, run }, index) => {
    answer.fill(0);
    run(answer);
    return {
      state: wanted.name,
      method: name,
      nsPerPage: median(series[index].nsPerUnit),
      change: index === 0 ? undefined : ratioOf(series[index], series[0], seed),
      ...errors(answer, wanted),
    };
  });
}

function errors(
  answer: Uint8Array,
  { swappedEvery }: RangeState,
): { falsePositives: number; falseNegatives: number } {
  let falsePositives = 0;
  let falseNegatives = 0;
  for (let page = 0; page < answer.length; page++) {
    const isSwapped = swappedEvery > 0 && page % swappedEvery === 0;
    if (answer[page] === 1 && !isSwapped) falsePositives++;
    if (answer[page] !== 1 && isSwapped) falseNegatives++;
  }
  return { falsePositives, falseNegatives };
}

function methodsFor(bare: SharedMemory, armed: SharedMemory, resources: Resources): Method[] {
  const pagemap = resources.use(PagemapFile.open(process.pid));
  const scanner = new PagemapScanner();
  const view = resources.use(PageCacheView.open(process.pid, bare.entry()));
  const target = resources.use(LinuxTarget.open(process.pid));
  const exactOf = (memory: SharedMemory) => {
    const detector = new ExactDetector(target);
    const mapping = mappingOf(target, memory);
    return (answer: Uint8Array): void => fromStates(detector.scan(mapping).states, answer);
  };
  const pages = bare.pages;
  const resident = new Uint8Array(pages);
  return [
    { name: "pagemap", memory: bare, run: (answer) => readSwapBits(pagemap, bare, answer) },
    { name: "marker: pagemap", memory: armed, run: (answer) => readSwapBits(pagemap, armed, answer) },
    {
      name: "marker: PAGEMAP_SCAN",
      memory: armed,
      run: (answer) => {
        answer.fill(0);
        const request = {
          start: armed.address,
          end: armed.address + pages * PAGE_SIZE,
          mask: PAGE_IS_SWAPPED,
          returned: PAGE_IS_SWAPPED,
        };
        scanner.scan(pagemap, request, (start, end) => {
          answer.fill(1, (start - armed.address) / PAGE_SIZE, (end - armed.address) / PAGE_SIZE);
        });
      },
    },
    {
      name: "page cache: mincore and SEEK_DATA",
      memory: bare,
      run: (answer) => {
        answer.fill(0);
        view.mincore(0, pages, resident);
        view.forEachData(0, pages, (first, count) => {
          for (let page = first; page < first + count; page++) answer[page] = 1 - (resident[page] & 1);
        });
      },
    },
    {
      name: "page cache: cachestat of each page",
      memory: bare,
      run: (answer) => {
        for (let page = 0; page < pages; page++) answer[page] = view.cachestat(page, 1)?.evicted ?? 0;
      },
    },
    { name: "exact, armed", memory: armed, run: exactOf(armed) },
    { name: "exact, not armed", memory: bare, run: exactOf(bare) },
  ];
}

function mappingOf(target: LinuxTarget, memory: SharedMemory): Mapping {
  const found = target.mappings().find(({ start }) => start === memory.address);
  if (found === undefined) throw new Error("the range is no mapping of its own");
  return found;
}

function readSwapBits(pagemap: PagemapFile, memory: SharedMemory, answer: Uint8Array): void {
  pagemap.forEachChunk(memory.firstPage, memory.pages, (words, first, pages) => {
    const at = first - memory.firstPage;
    for (let i = 0; i < pages; i++) answer[at + i] = (words[i * 2 + 1] & PM_HI_SWAP) === 0 ? 0 : 1;
  });
}

function fromStates(states: Uint8Array, answer: Uint8Array): void {
  for (let page = 0; page < states.length; page++) {
    const state = states[page] & STATE_MASK;
    answer[page] = state === SWAPPED || state === SWAP_CACHED ? 1 : 0;
  }
}
