import { closeSync, ftruncateSync } from "node:fs";
import process from "node:process";
import { MADV, MADV_NOHUGEPAGE, MAP_SHARED, PAGE_SIZE, PROT_READ, PROT_WRITE } from "../abi/index.ts";
import { addressOf, madvise, memfdCreate, mincore, mmap, munmap, SYS, syscall, viewOf } from "./libc.ts";
import { drainLruBatches } from "./lru.ts";
import { type MapsEntry, readMaps } from "./maps.ts";

const PAGEOUT_TRIES = 200;
const WORDS_PER_PAGE = PAGE_SIZE / 4;

/** A memfd of this process, mapped here: pages of 4 KiB, none of them touched yet. */
export class SharedMemory implements Disposable {
  readonly fd: number;
  readonly pages: number;
  /** Address of the mapping, bytes. */
  readonly address: number;
  /** Every word of it. Reading one may fault. */
  readonly words: Uint32Array;
  readonly #resident: Uint8Array;

  constructor(pages: number, name = "ptemark") {
    this.pages = pages;
    this.fd = memfdCreate(name);
    ftruncateSync(this.fd, pages * PAGE_SIZE);
    const lengthBytes = pages * PAGE_SIZE;
    const pointer = mmap({ lengthBytes, prot: PROT_READ | PROT_WRITE, flags: MAP_SHARED, fd: this.fd });
    madvise(pointer, lengthBytes, MADV_NOHUGEPAGE);
    this.address = Number(pointer);
    this.words = new Uint32Array(viewOf(pointer, lengthBytes));
    this.#resident = new Uint8Array(pages);
  }

  get firstPage(): number {
    return this.address / PAGE_SIZE;
  }

  /** Writes a byte to a page. */
  touch(page: number): void {
    this.words[page * WORDS_PER_PAGE] = 1;
  }

  madvise(page: number, pages: number, advice: number): void {
    madvise(BigInt(this.address + page * PAGE_SIZE), pages * PAGE_SIZE, advice);
  }

  /** In memory: in the page cache or in the swap cache. */
  residentPages(first = 0, pages = this.pages): number {
    mincore(BigInt(this.address + first * PAGE_SIZE), pages * PAGE_SIZE, this.#resident.subarray(0, pages));
    let count = 0;
    for (let i = 0; i < pages; i++) count += this.#resident[i] & 1;
    return count;
  }

  /** Not in the page cache but in swap, which a page in the swap cache is too. */
  evictedPages(first = 0, pages = this.pages): number {
    const range = BigUint64Array.of(BigInt(first * PAGE_SIZE), BigInt(pages * PAGE_SIZE));
    const counts = new BigUint64Array(5);
    syscall("cachestat", SYS.cachestat, [this.fd, addressOf(range), addressOf(counts), 0]);
    return Number(counts[3]);
  }

  /**
   * MADV_PAGEOUT until all pages of the range are in swap. It takes only pages that this mapping maps, and nobody else.
   * It may also unmap a page and then not write it, on a disk, so that the next one has to be given it again.
   * On zram none is in memory in the end.
   */
  pageOut(first = 0, pages = this.pages): void {
    for (let attempt = 0; attempt < PAGEOUT_TRIES; attempt++) {
      this.madvise(first, pages, MADV.PAGEOUT);
      if (this.evictedPages(first, pages) === pages) return;
      drainLruBatches();
      for (let page = first; page < first + pages; page++) {
        if (this.evictedPages(page, 1) === 0) this.madvise(page, 1, MADV.POPULATE_READ);
      }
    }
    throw new Error(
      `${this.evictedPages(first, pages)} of ${pages} pages are in swap after ${PAGEOUT_TRIES} MADV_PAGEOUT`,
    );
  }

  /** The line of maps that it is in. */
  entry(): MapsEntry {
    const found = readMaps(process.pid).find(({ start, end }) => start <= this.address && this.address < end);
    if (!found) throw new Error("the mapping is not in maps");
    return found;
  }

  [Symbol.dispose](): void {
    munmap(BigInt(this.address), this.pages * PAGE_SIZE);
    closeSync(this.fd);
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
