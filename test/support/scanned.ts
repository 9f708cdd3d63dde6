/** A small stopped process with shared memory that is known page by page, to be scanned. */
import {
  MADV,
  MADV_NOHUGEPAGE,
  MAP_ANONYMOUS,
  MAP_SHARED,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
} from "../../src/abi/index.ts";
import { DrivenProcess } from "../../src/linux/driven-process.ts";
import { SYS } from "../../src/linux/libc.ts";
import { drainLruBatches } from "../../src/linux/lru.ts";

const SYS_FTRUNCATE = 77;

const PR_SET_NAME = 15;

/** Its name is "scanned". */
export class ScannedProcess implements Disposable {
  readonly driven = DrivenProcess.spawn();

  constructor() {
    this.call(SYS.prctl, PR_SET_NAME, this.driven.putString("scanned"));
  }

  get pid(): number {
    return this.driven.pid;
  }

  /** Maps a memfd of so many pages; returns its address and, still open, its descriptor. */
  memfd(name: string, pages: number): { readonly address: number; readonly fd: number } {
    const fd = this.call(SYS.memfd_create, this.driven.putString(name), 0);
    this.call(SYS_FTRUNCATE, fd, pages * PAGE_SIZE);
    return { address: this.map(pages, MAP_SHARED, fd), fd };
  }

  sharedAnonymous(pages: number): number {
    return this.map(pages, MAP_SHARED | MAP_ANONYMOUS, -1);
  }

  map(pages: number, flags: number, fd: number): number {
    const address = this.call(SYS.mmap, 0, pages * PAGE_SIZE, PROT_READ | PROT_WRITE, flags, fd, 0);
    this.driven.syscall(SYS.madvise, address, pages * PAGE_SIZE, MADV_NOHUGEPAGE);
    return address;
  }

  /** Writes to pages of a mapping, each another content. */
  touch(address: number, first: number, pages: number): void {
    for (let page = first; page < first + pages; page++) {
      this.driven.storeU64(address + page * PAGE_SIZE, BigInt(page + 1) * 0x9e37_79b9_7f4an);
    }
  }

  pageOut(address: number, first: number, pages: number): void {
    drainLruBatches();
    this.call(SYS.madvise, address + first * PAGE_SIZE, pages * PAGE_SIZE, MADV.PAGEOUT);
  }

  /** A system call that must succeed. */
  call(number: number, ...args: readonly number[]): number {
    const result = this.driven.syscall(number, ...args);
    if (result < 0) throw new Error(`system call ${number} in the scanned process: errno ${-result}`);
    return result;
  }

  [Symbol.dispose](): void {
    this.driven[Symbol.dispose]();
  }
}
