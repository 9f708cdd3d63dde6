/** Shared memory of this process that is registered for asynchronous write-protection, so that page-out leaves markers. */
import {
  PAGE_IS_PRESENT,
  PAGE_IS_WRITTEN,
  PAGE_SIZE,
  PM_SCAN_WP_MATCHING,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
} from "../../src/abi/index.ts";
import { PagemapFile, PagemapScanner, Userfaultfd } from "../../src/linux/index.ts";
import { SharedMemory } from "../../test/support/shared-memory.ts";

export class ArmedMemory extends SharedMemory {
  readonly #userfaultfd = Userfaultfd.create();
  readonly #pagemap = PagemapFile.open(process.pid);
  readonly #scanner = new PagemapScanner();

  constructor(pages: number, name: string) {
    super(pages, name);
    this.#userfaultfd.handshake({ required: UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_HUGETLBFS_SHMEM });
    this.#userfaultfd.register(this.address, pages * PAGE_SIZE);
  }

  /** An arming pass: protects the present pages that are not protected. */
  arm(): void {
    this.#scanner.apply(this.#pagemap, {
      start: this.address,
      end: this.address + this.pages * PAGE_SIZE,
      flags: PM_SCAN_WP_MATCHING,
      mask: PAGE_IS_PRESENT | PAGE_IS_WRITTEN,
    });
  }

  /** Takes protection and markers away; it stays registered. */
  disarm(): void {
    this.#userfaultfd.writeProtect(this.address, this.pages * PAGE_SIZE, "resolve");
  }

  override [Symbol.dispose](): void {
    this.#userfaultfd[Symbol.dispose]();
    this.#pagemap[Symbol.dispose]();
    super[Symbol.dispose]();
  }
}
