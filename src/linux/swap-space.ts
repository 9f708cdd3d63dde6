/** What a swap device and a swap file have in common. Source: `union swap_header`, `include/linux/swap.h` (6.18). */

import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { PAGE_SIZE } from "../abi/mman.ts";
import { type Guard, quoted, retried } from "./guard.ts";

/** A place to swap to that is ours: switched on when made, taken away when disposed of, or when this process dies. */
export interface SwapSpace extends Disposable {
  readonly path: string;
  /** Undoes it all, and before that what others add to it. */
  readonly guard: Guard;
  /** Brings everything back into memory. Throws ENOMEM where that has no room. */
  swapoff(): void;
  swapon(): void;
}

/** Swap of our own is used before any other that the machine has. */
export const HIGHEST_PRIORITY = 32767;

/** Makes what is at `path` a swap space, as mkswap(8) does: version 1, pages counted from 0, no bad ones. */
export function writeSwapHeader(path: string, sizeBytes: number): void {
  const header = new Uint8Array(PAGE_SIZE);
  const view = new DataView(header.buffer);
  view.setUint32(1024, 1, true);
  view.setUint32(1028, sizeBytes / PAGE_SIZE - 1, true);
  header.set(new TextEncoder().encode("ptemark"), 1052);
  header.set(new TextEncoder().encode("SWAPSPACE2"), PAGE_SIZE - 10);
  const fd = openSync(path, "r+");
  try {
    writeSync(fd, header, 0, PAGE_SIZE, 0);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** A command for a guard: swapoff if it is on, again while there is no memory for what comes back. */
export function swapoffCommand(path: string): string {
  return `if grep -q ${quoted(`^${path} `)} /proc/swaps; then ${retried(`swapoff ${quoted(path)}`)}; fi`;
}

/** Throws unless it is a whole number of pages, of which a swap space has ten at least (one is its header). */
export function checkSwapSize(sizeBytes: number): void {
  if (!(Number.isInteger(sizeBytes / PAGE_SIZE) && sizeBytes >= 10 * PAGE_SIZE)) {
    throw new RangeError(
      `sizeBytes is ${sizeBytes}; a swap space is a multiple of ${PAGE_SIZE}, 10 at least`,
    );
  }
}
