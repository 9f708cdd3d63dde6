/**
 * Markers on a kernel without the RFC: in a range that is registered for asynchronous write-protection through
 * userfaultfd, and whose present pages are protected, page-out leaves markers (Linux 6.7 and later).
 */

import process from "node:process";
import {
  PAGE_IS_PRESENT,
  PAGE_SIZE,
  PM_SCAN_WP_MATCHING,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
} from "../../abi/index.ts";
import { PagemapFile } from "../../linux/pagemap.ts";
import { PagemapScanner } from "../../linux/pagemap-scan.ts";
import type { SharedMemory } from "../../linux/shared-memory.ts";
import { Userfaultfd } from "../../linux/userfaultfd.ts";

/** A registration of a mapping of this process. */
export class Arming implements Disposable {
  readonly #memory: SharedMemory;
  readonly #userfaultfd: Userfaultfd;
  readonly #pagemap = PagemapFile.open(process.pid);
  readonly #scanner = new PagemapScanner();

  /** Registers, and protects nothing yet. Throws a `LinuxError` where the kernel has no such thing. */
  constructor(memory: SharedMemory) {
    this.#memory = memory;
    this.#userfaultfd = Userfaultfd.create();
    this.#userfaultfd.handshake({ required: UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_HUGETLBFS_SHMEM });
    this.#userfaultfd.register(memory.address, memory.pages * PAGE_SIZE);
  }

  /** Protects what is present: only that may leave a marker. */
  arm(): void {
    this.#scanner.apply(this.#pagemap, {
      start: this.#memory.address,
      end: this.#memory.address + this.#memory.pages * PAGE_SIZE,
      flags: PM_SCAN_WP_MATCHING,
      mask: PAGE_IS_PRESENT,
    });
  }

  /** Takes protection and markers away; it stays registered. */
  disarm(): void {
    this.#userfaultfd.writeProtect(this.#memory.address, this.#memory.pages * PAGE_SIZE, "resolve");
  }

  [Symbol.dispose](): void {
    this.#userfaultfd[Symbol.dispose]();
    this.#pagemap[Symbol.dispose]();
  }
}
