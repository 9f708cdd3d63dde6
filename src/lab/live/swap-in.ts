/** The RFC's performance test on the running kernel: its markers' stand-in takes the place of PTE_MARKER_PAGEOUT. */

import process from "node:process";
import { PAGE_SIZE, PM_HI_SWAP } from "../../abi/index.ts";
import { MemoryCgroup } from "../../linux/cgroup.ts";
import { PagemapFile } from "../../linux/pagemap.ts";
import { SharedMemory, touchEveryPage } from "../../linux/shared-memory.ts";
import { SwapFile } from "../../linux/swap-file.ts";
import type { SwapSpace } from "../../linux/swap-space.ts";
import { ZramSwap } from "../../linux/zram.ts";
import { checkPages, fillPages } from "../page-content.ts";
import { type Contender, interleave, mean, type Ratio, ratioOf } from "../statistics.ts";
import { type SwapInRow, swapInRows } from "../swap-in.ts";
import { Arming } from "./arming.ts";
import { Resources } from "./resources.ts";

export type SwapDeviceKind = "zram" | "file";

/** Beside the pages of the range: the header, and what else the machine may swap meanwhile. */
const SPARE_BYTES = 64 * 2 ** 20;

/** How long to wait for whoever else has switched swap on through this library, milliseconds. */
export const WAIT_MS = 300_000;

/** Swap of our own, of that kind. */
export function createSwapSpace(kind: SwapDeviceKind, sizeBytes: number): Promise<SwapSpace> {
  const options = { sizeBytes: sizeBytes + SPARE_BYTES, waitMs: WAIT_MS };
  return kind === "zram" ? ZramSwap.create(options) : SwapFile.create(options);
}

export const LIVE_SWAP_IN_CONFIGS = [
  "no userfaultfd",
  "registered, not armed",
  "registered and armed (markers)",
] as const;

export interface LiveSwapIn {
  readonly sizePages: number;
  readonly rounds: number;
  readonly device: SwapDeviceKind;
  readonly rows: readonly SwapInRow[];
  /** What markers cost, apart from what registering changes. */
  readonly armedAgainstRegistered: Ratio;
  /** Of a round of each: pages that had to be read from the device, and markers that there were before. */
  readonly majorFaults: readonly number[];
  readonly markers: readonly number[];
}

export interface LiveSwapInOptions {
  readonly sizePages: number;
  readonly rounds: number;
  readonly seed: number;
  readonly device: SwapDeviceKind;
  readonly onProgress?: (label: string) => void;
}

/** How many pages have PM_SWAP set. */
export function countMarkers(memory: SharedMemory): number {
  using pagemap = PagemapFile.open(process.pid);
  let count = 0;
  pagemap.forEachChunk(memory.firstPage, memory.pages, (words, _first, pages) => {
    for (let i = 0; i < pages; i++) if ((words[i * 2 + 1] & PM_HI_SWAP) !== 0) count++;
  });
  return count;
}

/** Runs the test. Every byte that was read back is compared after each round. */
export async function measureLiveSwapIn(options: LiveSwapInOptions): Promise<LiveSwapIn> {
  const { sizePages, rounds, seed, device } = options;
  const content = { kind: "incompressible", seed } as const;
  using resources = new Resources();
  // One range at a time is out; what is out when we end is dropped before swap is taken away.
  resources.use(await createSwapSpace(device, 3 * sizePages * PAGE_SIZE));
  const majorFaults: number[] = [0, 0, 0];
  const markers: number[] = [0, 0, 0];
  const contenders = LIVE_SWAP_IN_CONFIGS.map((name, index): Contender => {
    const memory = resources.use(new SharedMemory(sizePages));
    const arming = index === 0 ? undefined : resources.use(new Arming(memory));
    // On a disk, pages stay in the swap cache until their cgroup is made to give them up.
    const cgroup = device === "file" ? resources.use(MemoryCgroup.create("ptemark-swap-in")) : undefined;
    const fill = (): void => fillPages(memory.words, content);
    if (cgroup === undefined) fill();
    else cgroup.chargeHere(fill);
    let faultsBefore = 0;
    return {
      name,
      prepare: () => {
        if (index === 2) arming?.arm();
        memory.pageOut();
        cgroup?.reclaimAll();
        markers[index] = countMarkers(memory);
        const wanted = index === 2 ? sizePages : 0;
        if (markers[index] !== wanted)
          throw new Error(`${name}: ${markers[index]} markers, expected ${wanted}`);
        faultsBefore = process.resourceUsage().majorPageFault;
      },
      run: () => void touchEveryPage(memory.words),
      check: () => {
        majorFaults[index] = process.resourceUsage().majorPageFault - faultsBefore;
        return checkPages(memory.words, { ...content, what: name });
      },
    };
  });
  const series = await interleave(contenders, {
    rounds,
    unitsPerRun: sizePages,
    ...(options.onProgress === undefined ? {} : { onRound: options.onProgress }),
  });
  return {
    sizePages,
    rounds,
    device,
    rows: swapInRows(series, sizePages, seed),
    armedAgainstRegistered: ratioOf(series[2], series[1], seed, mean),
    majorFaults,
    markers,
  };
}
