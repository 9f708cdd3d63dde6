/**
 * Pages on their way to the LRU lists. A CPU gathers new pages in batches of its own, and MADV_PAGEOUT, which takes
 * pages from the lists, empties only the batches of the CPU it runs on: a thread that has moved to another CPU since it
 * touched its pages finds them out of reach.
 */

import { addressOf, SYS, syscallRaw } from "./libc.ts";

const MPOL_MF_MOVE = 2;

/**
 * Empties the batches of all CPUs, by what `move_pages(2)` does before it moves anything (here a page to the node it is
 * on, or nothing at all). Does nothing in a kernel without NUMA.
 */
export function drainLruBatches(): void {
  const page = new BigUint64Array(1);
  page[0] = addressOf(page) & ~4095n;
  const node = new Int32Array(1);
  const status = new Int32Array(1);
  syscallRaw(SYS.move_pages, 0, 1, addressOf(page), addressOf(node), addressOf(status), MPOL_MF_MOVE);
}
