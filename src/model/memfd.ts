import { Errno, errnoName, PAGE_SIZE } from "../abi/index.ts";
import type { Kernel } from "./kernel.ts";
import type { MemoryGroup } from "./memory-group.ts";
import { INDEX_MAX } from "./page-frames.ts";
import { BLOCKED, PageLockedError } from "./page-lock.ts";
import {
  cachestat,
  dropIfUnused,
  fallocateObject,
  forEachData,
  frameOf,
  isInCore,
  pageState,
  punchHole,
  readObject,
  type ShmemPageState,
  truncateObject,
  writeObject,
} from "./shmem.ts";
import type { ShmemObject } from "./shmem-object.ts";

/** What an object may have (`s_maxbytes`): as far as a page's index goes. Linux goes to 2^63 - 1. */
const BYTES_MAX = INDEX_MAX * PAGE_SIZE;

/**
 * A descriptor of a shmem object. What is done through it touches no page table. Errors are thrown as {@link
 * Errno}.
 */
export class Memfd {
  readonly object: ShmemObject;
  readonly #kernel: Kernel;

  constructor(kernel: Kernel, object: ShmemObject) {
    this.#kernel = kernel;
    this.object = object;
  }

  #check(syscall: string, result: number): number {
    if (result === BLOCKED) throw new PageLockedError(syscall);
    if (result < 0) throw new Errno(errnoName(-result), syscall);
    return result;
  }

  #checkPosition(syscall: string, position: number): void {
    if (!Number.isSafeInteger(position) || position < 0)
      throw new Errno("EINVAL", syscall, `position ${position}`);
  }

  /** Refuses a range that is none, or that ends beyond what an object may have. */
  #checkRange(syscall: string, position: number, lengthBytes: number): void {
    this.#checkPosition(syscall, position);
    if (!Number.isSafeInteger(lengthBytes)) throw new Errno("EINVAL", syscall, `length ${lengthBytes}`);
    if (position + lengthBytes > BYTES_MAX) throw new Errno("EFBIG", syscall);
  }

  #open(syscall: string): ShmemObject {
    if (!this.object.isOpen) throw new Errno("EBADF", syscall, "the descriptor is closed");
    return this.object;
  }

  get sizeBytes(): number {
    return this.object.sizeBytes;
  }

  /**
   * Reads into `buffer`; returns the bytes read, fewer at the end. `group` is charged for pages that come
   * from swap.
   */
  pread(buffer: Uint8Array, position: number, group: MemoryGroup = this.#kernel.groups.root): number {
    this.#checkPosition("pread", position);
    return this.#check("pread", readObject(this.#kernel, this.#open("pread"), buffer, position, group));
  }

  /** Writes `buffer`; returns the bytes written. */
  pwrite(buffer: Uint8Array, position: number, group: MemoryGroup = this.#kernel.groups.root): number {
    this.#checkRange("pwrite", position, buffer.length);
    return this.#check("pwrite", writeObject(this.#kernel, this.#open("pwrite"), buffer, position, group));
  }

  /** Allocates pages without content. */
  fallocate(position: number, lengthBytes: number, group: MemoryGroup = this.#kernel.groups.root): void {
    if (lengthBytes <= 0) throw new Errno("EINVAL", "fallocate");
    this.#checkRange("fallocate", position, lengthBytes);
    this.#check(
      "fallocate",
      fallocateObject(this.#kernel, this.#open("fallocate"), position, lengthBytes, group),
    );
  }

  /** `fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)`. */
  punchHole(position: number, lengthBytes: number): void {
    if (lengthBytes <= 0) throw new Errno("EINVAL", "fallocate");
    this.#checkRange("fallocate", position, lengthBytes);
    this.#check("fallocate", punchHole(this.#kernel, this.#open("fallocate"), position, lengthBytes));
  }

  ftruncate(sizeBytes: number): void {
    this.#checkRange("ftruncate", sizeBytes, 0);
    this.#check("ftruncate", truncateObject(this.#kernel, this.#open("ftruncate"), sizeBytes));
  }

  /** How the object's page is kept. Looks only at the object. */
  pageState(page: number): ShmemPageState {
    return pageState(this.#kernel, this.object, page);
  }

  /**
   * mincore of a mapping that was never touched: sets `resident[i]` to 1 if page `first + i` is in memory,
   * else to 0.
   */
  mincore(first: number, pages: number, resident: Uint8Array): void {
    for (let i = 0; i < pages; i++) resident[i] = isInCore(this.#kernel, this.object, first + i) ? 1 : 0;
  }

  /** cachestat: how many pages of a range are in the page cache, and how many are in swap. */
  cachestat(first: number, pages: number): { readonly cached: number; readonly evicted: number } {
    return cachestat(this.object, first, pages);
  }

  /** lseek with SEEK_DATA and SEEK_HOLE: calls back for each run of pages with content in the range. */
  forEachData(first: number, pages: number, run: (first: number, pages: number) => void): void {
    forEachData(this.#kernel, this.object, first, pages, run);
  }

  /** fstat: `blocks` of 512 bytes, and how often size or content was changed by a call (Linux: when). */
  fstat(): { readonly sizeBytes: number; readonly blocks: number; readonly changes: number } {
    const { sizeBytes, residentPages, swappedPages, changes } = this.object;
    return { sizeBytes, blocks: (residentPages + swappedPages) * (PAGE_SIZE / 512), changes };
  }

  /** The frame that holds the object's page, in the page cache or the swap cache; -1 if none. */
  frameAt(page: number): number {
    return frameOf(this.#kernel, this.object, page);
  }

  /** The object goes when nothing maps it either. */
  close(): void {
    this.#open("close").isOpen = false;
    dropIfUnused(this.#kernel, this.object);
  }

  [Symbol.dispose](): void {
    if (this.object.isOpen) this.close();
  }
}
