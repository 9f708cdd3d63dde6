/**
 * Where pages are, asked in the plainest way: page by page, all three questions there are, and a table. It shares
 * nothing with the detectors that are held against it.
 */

import { closeSync, openSync, readSync } from "node:fs";
import { MAP_SHARED, MAX_SWAPFILES_FEWEST, PAGE_SIZE, PROT_READ } from "../abi/index.ts";
import {
  addressOf,
  lseekRaw,
  mincore,
  mmap,
  munmap,
  type Pointer,
  SEEK_DATA,
  SYS,
  syscall,
} from "../linux/libc.ts";

export type ObjectPageState = "cached" | "swap-cached" | "swapped" | "hole" | "reserved";
export type TruePageState = ObjectPageState | "present";

/** By nr_cache, nr_evicted, mincore and SEEK_DATA of one page. */
const TABLE: Readonly<Record<string, ObjectPageState>> = {
  "0000": "hole",
  "1011": "cached",
  "0111": "swap-cached",
  "0101": "swapped",
  "1000": "reserved",
  // Behind the object's end, where a huge page may reach that could not be split: there SEEK_DATA finds nothing.
  "1010": "cached",
  "0110": "swap-cached",
  "0100": "swapped",
};

/** A shmem object's own side. */
export class ObjectTruth implements Disposable {
  readonly fd: number;
  readonly #pagesMax: number;
  readonly #pointer: Pointer;
  readonly #range = new BigUint64Array(2);
  readonly #counts = new BigUint64Array(5);
  readonly #resident = new Uint8Array(1);

  /** Takes the descriptor over. */
  constructor(fd: number, pagesMax: number) {
    this.fd = fd;
    this.#pagesMax = pagesMax;
    this.#pointer = mmap({ lengthBytes: pagesMax * PAGE_SIZE, prot: PROT_READ, flags: MAP_SHARED, fd });
  }

  /** Throws for an answer that no page at rest can give. */
  stateOf(page: number): ObjectPageState {
    this.#range[0] = BigInt(page * PAGE_SIZE);
    this.#range[1] = BigInt(PAGE_SIZE);
    syscall("cachestat", SYS.cachestat, [this.fd, addressOf(this.#range), addressOf(this.#counts), 0]);
    mincore(this.#pointer + BigInt(page * PAGE_SIZE), PAGE_SIZE, this.#resident);
    const hasData = lseekRaw(this.fd, page * PAGE_SIZE, SEEK_DATA) === page * PAGE_SIZE;
    const answer = `${this.#counts[0]}${this.#counts[3]}${this.#resident[0] & 1}${hasData ? 1 : 0}`;
    const state = TABLE[answer];
    if (state === undefined)
      throw new UnstablePageError(`page ${page}: cachestat, mincore and SEEK_DATA say ${answer}`);
    return state;
  }

  get pagesMax(): number {
    return this.#pagesMax;
  }

  [Symbol.dispose](): void {
    munmap(this.#pointer, this.#pagesMax * PAGE_SIZE);
    closeSync(this.fd);
  }
}

/** The answers contradict each other: the page moved between two of them. */
export class UnstablePageError extends Error {
  override readonly name = "UnstablePageError";
}

/** What a page-table entry says by itself. */
export type EntryTruth = "present" | "swap entry" | "marker" | "none";

/** A process's page table, an entry at a time; read as root, who is shown swap types. */
export class PageTableTruth implements Disposable {
  readonly #fd: number;
  readonly #entry = new BigUint64Array(1);

  constructor(pid: number) {
    this.#fd = openSync(`/proc/${pid}/pagemap`, "r");
  }

  entryOf(address: number): EntryTruth {
    readSync(this.#fd, this.#entry, 0, 8, (address / PAGE_SIZE) * 8);
    const entry = this.#entry[0];
    if (entry >> 63n === 1n) return "present";
    if (((entry >> 62n) & 1n) === 0n) return "none";
    return Number(entry & 31n) < MAX_SWAPFILES_FEWEST ? "swap entry" : "marker";
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}
