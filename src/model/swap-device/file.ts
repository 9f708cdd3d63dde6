/** Swap in a real file (Node only). */

import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { PAGE_SIZE } from "../../abi/index.ts";
import { ConfigError } from "../config.ts";
import type { PageStore } from "../page-store.ts";
import type { SwapDevice } from "./device.ts";

const WINDOW_PAGES = 256;

export interface FileSwapDeviceOptions {
  readonly path: string;
  readonly slots: number;
  /** Whether page-out frees a page at once, as on zram; else it stays in the swap cache first, as on a disk. */
  readonly synchronous?: boolean;
  /** Remove the file on close, if it was not there before. True unless said otherwise. */
  readonly temporary?: boolean;
}

/**
 * A file of `slots` pages. Reads and writes go through one window of 1 MiB, so that runs of slots cost one system
 * call a window; what is in the window and not in the file yet is written when the window moves, and on close.
 */
export class FileSwapDevice implements SwapDevice {
  readonly slots: number;
  readonly synchronous: boolean;
  readonly #path: string;
  readonly #removeOnClose: boolean;
  #fd: number;
  readonly #window = new Uint8Array(WINDOW_PAGES * PAGE_SIZE);
  /** First slot in the window; none at first. */
  #first = -WINDOW_PAGES;
  /** The slots of the window that hold what the file holds, or newer. Both are relative to the window. */
  readonly #valid = new Uint8Array(WINDOW_PAGES);
  #dirtyFrom = WINDOW_PAGES;
  #dirtyTo = 0;

  /** Creates or opens the file. Throws the error of `open` where that fails. */
  constructor(options: FileSwapDeviceOptions) {
    if (!Number.isInteger(options.slots) || options.slots < 2)
      throw new ConfigError(`swap file ${options.path}: slots ${options.slots} must be an integer from 2`);
    this.slots = options.slots;
    this.synchronous = options.synchronous ?? true;
    this.#path = options.path;
    this.#removeOnClose = (options.temporary ?? true) && !existsSync(options.path);
    this.#fd = openSync(options.path, "a+");
    closeSync(this.#fd);
    this.#fd = openSync(options.path, "r+");
    const existing = fstatSync(this.#fd).size;
    if (existing < options.slots * PAGE_SIZE) ftruncateSync(this.#fd, options.slots * PAGE_SIZE);
  }

  #flush(): void {
    if (this.#dirtyFrom >= this.#dirtyTo) return;
    const from = this.#dirtyFrom * PAGE_SIZE;
    const length = (this.#dirtyTo - this.#dirtyFrom) * PAGE_SIZE;
    writeFully(this.#fd, this.#window, from, length, this.#first * PAGE_SIZE + from);
    this.#dirtyFrom = WINDOW_PAGES;
    this.#dirtyTo = 0;
  }

  #moveTo(slot: number): void {
    this.#flush();
    this.#first = slot - (slot % WINDOW_PAGES);
    this.#valid.fill(0);
  }

  /** Reads what is not in the window yet; newer pages that it has are kept. */
  #fill(): void {
    this.#flush();
    const pages = Math.min(WINDOW_PAGES, this.slots - this.#first);
    readFully(this.#fd, this.#window, pages * PAGE_SIZE, this.#first * PAGE_SIZE);
    this.#valid.fill(1);
  }

  read(slot: number, pages: PageStore, page: number): void {
    if (!pages.hasContents) return;
    if (slot < this.#first || slot >= this.#first + WINDOW_PAGES) this.#moveTo(slot);
    const at = slot - this.#first;
    if (this.#valid[at] === 0) this.#fill();
    pages.bytes(page).set(this.#window.subarray(at * PAGE_SIZE, (at + 1) * PAGE_SIZE));
  }

  write(slot: number, pages: PageStore, page: number): void {
    if (!pages.hasContents) return;
    if (slot < this.#first || slot >= this.#first + WINDOW_PAGES) this.#moveTo(slot);
    const at = slot - this.#first;
    // One run of dirty pages at a time: a gap in it would be written as it is.
    if (this.#dirtyFrom < this.#dirtyTo && (at < this.#dirtyFrom - 1 || at > this.#dirtyTo)) this.#flush();
    this.#window.set(pages.bytes(page), at * PAGE_SIZE);
    this.#valid[at] = 1;
    this.#dirtyFrom = Math.min(this.#dirtyFrom, at);
    this.#dirtyTo = Math.max(this.#dirtyTo, at + 1);
  }

  free(): void {}

  close(): void {
    if (this.#fd < 0) return;
    this.#flush();
    closeSync(this.#fd);
    this.#fd = -1;
    if (this.#removeOnClose) unlinkSync(this.#path);
  }
}

function readFully(fd: number, buffer: Uint8Array, length: number, position: number): void {
  for (let done = 0; done < length; ) {
    const got = readSync(fd, buffer, done, length - done, position + done);
    if (got === 0)
      throw new Error(`swap file: ends at byte ${position + done}, ${length - done} bytes early`);
    done += got;
  }
}

function writeFully(fd: number, buffer: Uint8Array, from: number, length: number, position: number): void {
  for (let done = 0; done < length; )
    done += writeSync(fd, buffer, from + done, length - done, position + done);
}
