import { PAGE_SIZE, PM_HI_SWAP } from "../abi/index.ts";
import type { Process } from "../model/index.ts";

/** For how many of these pages pagemap has PM_SWAP set. */
export function countSwapBits(process: Process, address: number, pages: number): number {
  const words = new Uint32Array(pages * 2);
  process.pagemap.pread(new Uint8Array(words.buffer), (address / PAGE_SIZE) * 8);
  let count = 0;
  for (let at = 1; at < words.length; at += 2) if ((words[at] & PM_HI_SWAP) !== 0) count++;
  return count;
}
