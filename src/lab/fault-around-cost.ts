/**
 * A cost that the RFC does not mention. Fault-around fills empty PTEs only, so a range full of markers has lost it:
 * what somebody else has brought back into the page cache takes a fault a page. Counted, not timed: faults and look-ups
 * are the same in every run.
 */

import { PAGE_SIZE } from "../abi/index.ts";
import { Kernel, type KernelConfig, MemorySwapDevice } from "../model/index.ts";
import { countSwapBits } from "./swap-bits.ts";

/** The start of a window, so that each takes one fault. */
const ADDRESS = 0x1000_0000_0000;

export interface FaultAroundConfig {
  readonly name: string;
  readonly config: Partial<KernelConfig>;
}

export const FAULT_AROUND_CONFIGS: readonly FaultAroundConfig[] = [
  { name: "no markers", config: { PTE_MARKER_PAGEOUT: false } },
  { name: "markers", config: {} },
  { name: "markers, and fault-around fills them", config: { FAULT_AROUND_MARKERS: true } },
  {
    name: "no markers, fault-around off",
    config: { PTE_MARKER_PAGEOUT: false, fault_around_bytes: PAGE_SIZE },
  },
  { name: "markers, fault-around off", config: { fault_around_bytes: PAGE_SIZE } },
];

export interface FaultAroundRow {
  readonly name: string;
  /** Every so manyth page is read: 1 is all of them. */
  readonly stride: number;
  readonly pagesRead: number;
  readonly minorFaults: number;
  /** Page-cache look-ups of all these faults. */
  readonly lookups: number;
  /** PTEs that were mapped, neighbours included. */
  readonly pagesMapped: number;
  /** Pages for which PM_SWAP is set after the reads although none is in swap. */
  readonly staleBefore: number;
  readonly staleAfter: number;
}

/** The pages of the recorded measurement on a real kernel with the RFC (`reference-costs.ts`). */
export const FAULT_AROUND_PAGES = 16384;
export const FAULT_AROUND_STRIDES: readonly number[] = [1, 16];

/** One process pages a range out, another reads it back, the first one reads it then. */
function measure({ name, config }: FaultAroundConfig, stride: number): FaultAroundRow {
  const pages = FAULT_AROUND_PAGES;
  const lengthBytes = pages * PAGE_SIZE;
  const kernel = new Kernel({
    profile: "rfc",
    config: { page_cluster: 0, ...config },
    memoryPages: pages + 1024,
    swap: [new MemorySwapDevice({ slots: pages + 1 })],
    contents: false,
  });
  const [first, second] = [kernel.createProcess(), kernel.createProcess()];
  const object = kernel.memfdCreate({ sizePages: pages });
  const address = first.mmap({
    lengthBytes,
    object,
    address: ADDRESS,
    fixed: true,
    shared: true,
    write: true,
  });
  const elsewhere = second.mmap({ lengthBytes, object, shared: true });
  first.touchWrite(address, lengthBytes);
  first.madvise(address, lengthBytes, "PAGEOUT");
  second.touchRead(elsewhere, lengthBytes);
  if (object.object.residentPages !== pages)
    throw new Error("fault-around: not all pages are back in memory");

  const staleBefore = countSwapBits(first, address, pages);
  const { pgfault, pgmajfault } = kernel.vmstat;
  const { pageCacheLookups, pteWrites } = kernel.work;
  for (let page = 0; page < pages; page += stride) first.touchRead(address + page * PAGE_SIZE, PAGE_SIZE);
  if (kernel.vmstat.pgmajfault !== pgmajfault) throw new Error("fault-around: a page was read from swap");
  return {
    name,
    stride,
    pagesRead: pages / stride,
    minorFaults: kernel.vmstat.pgfault - pgfault,
    lookups: kernel.work.pageCacheLookups - pageCacheLookups,
    pagesMapped: kernel.work.pteWrites - pteWrites,
    staleBefore,
    staleAfter: countSwapBits(first, address, pages),
  };
}

/** All configurations, reading all pages and one in 16. */
export function measureFaultAround(): FaultAroundRow[] {
  return FAULT_AROUND_STRIDES.flatMap((stride) =>
    FAULT_AROUND_CONFIGS.map((config) => measure(config, stride)),
  );
}
