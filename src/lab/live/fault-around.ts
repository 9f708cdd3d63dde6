/** The lost fault-around on the running kernel: a registered mapping has none, armed or not. */

import { readSync } from "node:fs";
import process from "node:process";
import { PAGE_SIZE } from "../../abi/index.ts";
import { SharedMemory } from "../../linux/shared-memory.ts";
import { FAULT_AROUND_PAGES, FAULT_AROUND_STRIDES } from "../fault-around-cost.ts";
import { Arming } from "./arming.ts";
import { Resources } from "./resources.ts";
import { countMarkers, createSwapSpace, LIVE_SWAP_IN_CONFIGS } from "./swap-in.ts";

export interface LiveFaultAroundRow {
  readonly name: string;
  readonly stride: number;
  readonly pagesRead: number;
  readonly minorFaults: number;
  readonly majorFaults: number;
  readonly microseconds: number;
  readonly staleBefore: number;
  readonly staleAfter: number;
}

const WORDS_PER_PAGE = PAGE_SIZE / 4;
const CHUNK_BYTES = 2 ** 20;

/** Reads the object through its descriptor: all of it is in the page cache then, and no page table is touched. */
function readBack(memory: SharedMemory): void {
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (let at = 0; at < memory.pages * PAGE_SIZE; at += CHUNK_BYTES)
    readSync(memory.fd, chunk, 0, CHUNK_BYTES, at);
}

/** A free function over one typed array, for the JIT. */
function touchEvery(words: Uint32Array, stride: number): number {
  let sum = 0;
  for (let at = 0; at < words.length; at += stride * WORDS_PER_PAGE) sum = (sum + words[at]) | 0;
  return sum;
}

/** All configurations, reading all pages and one in 16, of pages that were paged out and read back by somebody else. */
export async function measureLiveFaultAround(): Promise<LiveFaultAroundRow[]> {
  const pages = FAULT_AROUND_PAGES;
  using resources = new Resources();
  resources.use(await createSwapSpace("zram", pages * PAGE_SIZE));
  const rows: LiveFaultAroundRow[] = [];
  for (const stride of FAULT_AROUND_STRIDES)
    for (const [index, name] of LIVE_SWAP_IN_CONFIGS.entries()) rows.push(measure(name, index, stride));
  return rows;
}

function measure(name: string, index: number, stride: number): LiveFaultAroundRow {
  const pages = FAULT_AROUND_PAGES;
  using memory = new SharedMemory(pages);
  using resources = new Resources();
  const arming = index === 0 ? undefined : resources.use(new Arming(memory));
  for (let page = 0; page < pages; page++) memory.touch(page);
  if (index === 2) arming?.arm();
  memory.pageOut();
  readBack(memory);
  const staleBefore = countMarkers(memory);
  // Compiled, and its own memory faulted in, before it counts.
  touchEvery(new Uint32Array(pages * WORDS_PER_PAGE), stride);
  const before = process.resourceUsage();
  const start = process.hrtime.bigint();
  touchEvery(memory.words, stride);
  const nanoseconds = Number(process.hrtime.bigint() - start);
  const after = process.resourceUsage();
  return {
    name,
    stride,
    pagesRead: pages / stride,
    minorFaults: after.minorPageFault - before.minorPageFault,
    majorFaults: after.majorPageFault - before.majorPageFault,
    microseconds: nanoseconds / 1000,
    staleBefore,
    staleAfter: countMarkers(memory),
  };
}
