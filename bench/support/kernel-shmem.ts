/** A shared mapping of a memfd in the running kernel, with a typed array over it. */
import { closeSync } from "node:fs";
import { PAGE_BYTES, WORDS_PER_PAGE } from "../../src/lab/page-content.ts";
import {
  ftruncate,
  MADV_NOHUGEPAGE,
  MADV_PAGEOUT,
  madvise,
  memfdCreate,
  mincore,
  mmapShared,
  munmap,
  viewOf,
} from "./libc.ts";

const PAGEOUT_TRIES = 200;

export class KernelShmem {
  readonly sizePages: number;
  readonly address: bigint;
  /** Every word of the mapping. Reading one of them may fault, which is what the benches time. */
  readonly words: Uint32Array;
  readonly #fd: number;
  readonly #resident: Uint8Array;
  #open = true;

  constructor(options: { sizePages: number; name?: string }) {
    this.sizePages = options.sizePages;
    const lengthBytes = options.sizePages * PAGE_BYTES;
    this.#resident = new Uint8Array(options.sizePages);
    this.#fd = memfdCreate(options.name ?? "ptemark-bench");
    try {
      ftruncate(this.#fd, lengthBytes);
      this.address = mmapShared(this.#fd, lengthBytes);
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
    // One PTE a page is what the model has, and what the bench compares.
    madvise(this.address, lengthBytes, MADV_NOHUGEPAGE);
    this.words = new Uint32Array(viewOf(this.address, lengthBytes));
  }

  residentPages(): number {
    mincore(this.address, this.sizePages * PAGE_BYTES, this.#resident);
    let count = 0;
    for (let i = 0; i < this.sizePages; i++) count += this.#resident[i] & 1;
    return count;
  }

  /** MADV_PAGEOUT until mincore says that no page is left in memory (page cache or swap cache). */
  pageOutAll(): void {
    for (let attempt = 0; attempt < PAGEOUT_TRIES; attempt++) {
      madvise(this.address, this.sizePages * PAGE_BYTES, MADV_PAGEOUT);
      if (this.residentPages() === 0) return;
    }
    throw new Error(
      `${this.residentPages()} of ${this.sizePages} pages stay in memory after ${PAGEOUT_TRIES} MADV_PAGEOUT`,
    );
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    munmap(this.address, this.sizePages * PAGE_BYTES);
    closeSync(this.#fd);
  }
}

/**
 * Reads one word of every page, in order: one fault a page that is not mapped. A free function over one typed array,
 * for the JIT.
 */
export function touchEveryPage(words: Uint32Array): number {
  let sum = 0;
  for (let at = 0; at < words.length; at += WORDS_PER_PAGE) sum = (sum + words[at]) | 0;
  return sum;
}
