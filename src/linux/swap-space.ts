/** What a swap device and a swap file have in common. Source: `union swap_header`, `include/linux/swap.h` (6.18). */

import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { PAGE_SIZE } from "../abi/mman.ts";
import { Guard, quoted, retried } from "./guard.ts";
import { swapoff, swapon } from "./libc.ts";
import { MachineLock, type MachineLockOptions } from "./machine-lock.ts";

/** What a swap space holds: swap is one on a machine, and all that is set up is undone, however we end. */
export interface SwapHold {
  readonly lock: MachineLock;
  readonly guard: Guard;
}

/** Swap of our own is used before any other that the machine has. */
const HIGHEST_PRIORITY = 32767;

/** A place to swap to that is ours: switched on when made, taken away when disposed of, or when this process dies. */
export abstract class SwapSpace implements Disposable {
  abstract readonly path: string;
  /** Undoes it all. What others add to it is undone before swap goes and the lock is let go. */
  readonly guard: Guard;
  readonly #lock: MachineLock;

  protected constructor({ lock, guard }: SwapHold) {
    this.#lock = lock;
    this.guard = guard;
  }

  /** Makes what is at `path` swap, and switches it on. */
  protected setUp(sizeBytes: number): void {
    writeSwapHeader(this.path, sizeBytes);
    this.guard.add(swapoffCommand(this.path));
    this.swapon();
  }

  swapon(): void {
    swapon(this.path, HIGHEST_PRIORITY);
  }

  /** Brings everything back into memory. Throws ENOMEM where that has no room. */
  swapoff(): void {
    swapoff(this.path);
  }

  /** Swaps everything back in, which takes memory and time: free what is swapped first. */
  [Symbol.dispose](): void {
    try {
      this.guard[Symbol.dispose]();
    } finally {
      this.#lock[Symbol.dispose]();
    }
  }
}

/** Waits for the machine lock, and makes a swap space under it; what is half made is undone. */
export async function makeHeld<T extends SwapSpace>(
  options: MachineLockOptions,
  make: (hold: SwapHold) => T,
): Promise<T> {
  const lock = await MachineLock.acquire(options);
  let guard: Guard | undefined;
  try {
    guard = Guard.start(lock.fd);
    return make({ lock, guard });
  } catch (error) {
    guard?.[Symbol.dispose]();
    lock[Symbol.dispose]();
    throw error;
  }
}

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
function swapoffCommand(path: string): string {
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
