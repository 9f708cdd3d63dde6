/** Attaching to a process of the running kernel. */

import {
  PAGE_IS_GUARD,
  PAGE_IS_HUGE,
  PAGE_IS_PRESENT,
  PAGE_IS_WRITTEN,
  PAGE_SIZE,
  PM_SCAN_WP_MATCHING,
  UFFD_FEATURE_PAGEFAULT_FLAG_WP,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
} from "../abi/index.ts";
import {
  createUserfaultfdIn,
  LinuxError,
  type PagemapFile,
  PagemapScanner,
  type RemoteOptions,
  Userfaultfd,
} from "../linux/index.ts";
import { Attachment, type AttachmentOptions, type WriteProtection } from "./attachment.ts";
import { LinuxTarget } from "./linux-target.ts";
import type { Mapping } from "./target.ts";

const FEATURES = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_WP_ASYNC;

export interface LinuxWriteProtectionOptions {
  /**
   * Also make page-out of huge pages visible, at the price of the huge mapping. A huge page that is armed as a whole
   * leaves no marker when it goes (6.18), so it is given up first: then its 512 pages are in the page cache and not
   * mapped, and armed as they come back one by one. Left alone, the object is asked about them.
   */
  readonly armHuge?: boolean;
}

/** Write-protection of the address space that a userfaultfd is of. Source: userfaultfd.rst, pagemap.rst (6.18). */
export class LinuxWriteProtection implements WriteProtection {
  readonly #userfaultfd: Userfaultfd;
  readonly #pagemap: PagemapFile;
  readonly #scanner = new PagemapScanner();
  readonly #armHuge: boolean;

  /** Makes the handshake, and closes the userfaultfd when disposed of. Throws a LinuxError if a feature is missing. */
  constructor(
    userfaultfd: Userfaultfd,
    pagemap: PagemapFile,
    { armHuge = false }: LinuxWriteProtectionOptions = {},
  ) {
    this.#userfaultfd = userfaultfd;
    this.#pagemap = pagemap;
    this.#armHuge = armHuge;
    userfaultfd.handshake({ required: FEATURES });
  }

  register(mapping: Mapping): string | undefined {
    // Guard regions over write-protected pages: making one never returns (6.18).
    if (this.#hasGuards(mapping))
      return "it has guard regions, and with them write-protection can hang the process";
    try {
      this.#userfaultfd.register(mapping.start, mapping.end - mapping.start);
      return undefined;
    } catch (error) {
      if (error instanceof LinuxError && error.code !== "ESRCH") return error.message;
      throw error;
    }
  }

  #hasGuards({ start, end }: Mapping): boolean {
    let isFound = false;
    try {
      this.#scanner.scan(this.#pagemap, { start, end, anyOf: PAGE_IS_GUARD }, () => {
        isFound = true;
      });
    } catch (error) {
      // A kernel before 6.15 doesn't know the category, nor guard regions in shared memory.
      if (!(error instanceof LinuxError && error.code === "EINVAL")) throw error;
    }
    return isFound;
  }

  arm({ start, end }: Mapping): number {
    const found = PAGE_IS_PRESENT | PAGE_IS_WRITTEN;
    let pages = 0;
    if (this.#armHuge) {
      this.#scanner.scan(this.#pagemap, { start, end, mask: found | PAGE_IS_HUGE }, (from, to) => {
        this.#userfaultfd.writeProtect(from, to - from, "protect");
        pages += (to - from) / PAGE_SIZE;
      });
    }
    // What is found is armed in the same step, so no write is lost between.
    const request = {
      start,
      end,
      flags: PM_SCAN_WP_MATCHING,
      mask: found | PAGE_IS_HUGE,
      inverted: PAGE_IS_HUGE,
    };
    this.#scanner.scan(this.#pagemap, request, (from, to) => {
      pages += (to - from) / PAGE_SIZE;
    });
    return pages;
  }

  /** Where the process has unmapped or is changing the range meanwhile, nothing is done: the next pass sees it anew. */
  resolve(start: number, lengthBytes: number): void {
    try {
      this.#userfaultfd.writeProtect(start, lengthBytes, "resolve");
    } catch (error) {
      if (!(error instanceof LinuxError && (error.code === "ENOENT" || error.code === "EAGAIN"))) throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#userfaultfd[Symbol.dispose]();
  }
}

export interface AttachOptions
  extends RemoteOptions,
    LinuxWriteProtectionOptions,
    Pick<AttachmentOptions, "choose"> {}

/** An attachment to a running process, and what it took to make it. */
export interface LinuxAttachment extends Disposable {
  readonly attachment: Attachment;
  readonly target: LinuxTarget;
  /** The thread that was stopped, and for how long, milliseconds. */
  readonly thread: number;
  readonly stoppedMs: number;
}

/**
 * Attaches to a running process; its first pass arms. Disposing of it leaves no trace.
 *
 * @throws {LinuxError} with the reason, before the process is touched, if that can't be done safely
 */
export function attach(pid: number, options: AttachOptions = {}): LinuxAttachment {
  const target = LinuxTarget.open(pid);
  try {
    const { fd, thread, stoppedMs } = createUserfaultfdIn(pid, options);
    const userfaultfd = Userfaultfd.adopt(fd);
    try {
      const protection = new LinuxWriteProtection(userfaultfd, target.pagemap, options);
      const { choose } = options;
      const attachment = new Attachment({ target, protection, ...(choose === undefined ? {} : { choose }) });
      return {
        attachment,
        target,
        thread,
        stoppedMs,
        [Symbol.dispose]() {
          attachment[Symbol.dispose]();
          target[Symbol.dispose]();
        },
      };
    } catch (error) {
      userfaultfd[Symbol.dispose]();
      throw error;
    }
  } catch (error) {
    target[Symbol.dispose]();
    throw error;
  }
}
