/**
 * `/proc/PID/pagemap`: a 64-bit entry a page of a process's address space (its layout: `ptemark/abi`).
 * Reading it faults nothing in. Source: `Documentation/admin-guide/mm/pagemap.rst` (6.18).
 */

import { closeSync, openSync, readSync } from "node:fs";
import { PAGE_SIZE, PAGEMAP_ENTRY_BYTES, PM_HI_FRAME_MASK, PM_HI_PRESENT } from "../abi/index.ts";
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "../abi/mman.ts";
import { mmap, munmap, viewOf } from "./libc.ts";
import { fromNodeError } from "./linux-error.ts";
import { procError } from "./procfs.ts";

/** Pages that {@link PagemapFile.forEachChunk} reads at a time: 512 KiB of entries. */
const CHUNK_PAGES = 1 << 16;

/** The open pagemap of a process. It stays that of the address space it was opened on, also after an exec. */
export class PagemapFile implements Disposable {
  readonly pid: number;
  readonly fd: number;
  #chunk: Uint32Array | undefined;

  private constructor(pid: number, fd: number) {
    this.pid = pid;
    this.fd = fd;
  }

  /** Throws a LinuxError: ESRCH if there is no such process, EACCES without ptrace read access. */
  static open(pid: number): PagemapFile {
    const path = `/proc/${pid}/pagemap`;
    try {
      return new PagemapFile(pid, openSync(path, "r"));
    } catch (error) {
      throw procError(error, pid, path);
    }
  }

  /**
   * Reads entries into `words`, low word then high word a page, from page number `firstPage` (address / 4096)
   * on. Returns how many pages were read: fewer than fit where the address space ends, 0 when the process has
   * ended.
   */
  read(firstPage: number, words: Uint32Array): number {
    const wantedBytes = words.byteLength - (words.byteLength % PAGEMAP_ENTRY_BYTES);
    let doneBytes = 0;
    while (doneBytes < wantedBytes) {
      const position = firstPage * PAGEMAP_ENTRY_BYTES + doneBytes;
      const count = this.#read(words, doneBytes, wantedBytes - doneBytes, position);
      if (count === 0) break;
      doneBytes += count;
    }
    return doneBytes / PAGEMAP_ENTRY_BYTES;
  }

  #read(words: Uint32Array, offsetBytes: number, lengthBytes: number, position: number): number {
    try {
      return readSync(this.fd, words, offsetBytes, lengthBytes, position);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ESRCH") return 0; // ended, as some kernels say it
      throw fromNodeError(error, `read /proc/${this.pid}/pagemap`);
    }
  }

  /**
   * Calls back with the entries of the pages from `firstPage` on, a chunk at a time, in one buffer that is
   * used again. Returns how many pages there were: fewer than asked for as {@link read} tells.
   */
  forEachChunk(
    firstPage: number,
    pages: number,
    visit: (words: Uint32Array, firstPage: number, pages: number) => void,
  ): number {
    this.#chunk ??= new Uint32Array(CHUNK_PAGES * 2);
    for (let done = 0; done < pages; ) {
      const wanted = Math.min(CHUNK_PAGES, pages - done);
      const words = this.#chunk.subarray(0, wanted * 2);
      const count = this.read(firstPage + done, words);
      if (count > 0) visit(words, firstPage + done, count);
      done += count;
      if (count < wanted) return done;
    }
    return pages;
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

/**
 * Whether pagemap shows this process frame numbers, swap types and swap offsets: that takes CAP_SYS_ADMIN in
 * the initial user namespace; without it they read as 0. Found out on a page of our own.
 */
export function pagemapShowsFrames(): boolean {
  const pointer = mmap({
    lengthBytes: PAGE_SIZE,
    prot: PROT_READ | PROT_WRITE,
    flags: MAP_PRIVATE | MAP_ANONYMOUS,
    fd: -1,
  });
  try {
    new Uint8Array(viewOf(pointer, PAGE_SIZE))[0] = 1;
    using pagemap = PagemapFile.open(process.pid);
    const words = new Uint32Array(2);
    pagemap.read(Number(pointer) / PAGE_SIZE, words);
    const [lo, hi] = words;
    return (hi & PM_HI_PRESENT) !== 0 && (lo !== 0 || (hi & PM_HI_FRAME_MASK) !== 0);
  } finally {
    munmap(pointer, PAGE_SIZE);
  }
}
