import { PAGE_SIZE, PM_HI_PRESENT, PM_HI_UFFD_WP } from "../abi/index.ts";
import { Errno, type Process, type ProcessUserfaultfd } from "../model/index.ts";
import type { WriteProtection } from "./attachment.ts";
import { type Mapping, pagesOf } from "./target.ts";

/** Write-protection of a process of the model. Of its PAGEMAP_SCAN there is none: runs are found in its pagemap. */
export class ModelWriteProtection implements WriteProtection {
  readonly #process: Process;
  readonly #userfaultfd: ProcessUserfaultfd;

  constructor(process: Process) {
    this.#process = process;
    this.#userfaultfd = process.userfaultfd();
  }

  register({ start, end }: Mapping): string | undefined {
    try {
      this.#userfaultfd.register(start, end - start);
      return undefined;
    } catch (error) {
      if (error instanceof Errno) return error.message;
      throw error;
    }
  }

  arm(mapping: Mapping): number {
    const words = new Uint32Array(pagesOf(mapping) * 2);
    this.#process.pagemap.pread(new Uint8Array(words.buffer), (mapping.start / PAGE_SIZE) * 8);
    const isUnarmed = (page: number): boolean =>
      (words[page * 2 + 1] & (PM_HI_PRESENT | PM_HI_UFFD_WP)) >>> 0 === PM_HI_PRESENT;
    let armed = 0;
    for (let from = 0; from < pagesOf(mapping); from++) {
      if (!isUnarmed(from)) continue;
      let end = from + 1;
      while (end < pagesOf(mapping) && isUnarmed(end)) end++;
      this.#userfaultfd.protect(mapping.start + from * PAGE_SIZE, (end - from) * PAGE_SIZE);
      armed += end - from;
      from = end;
    }
    return armed;
  }

  resolve(start: number, lengthBytes: number): void {
    this.#userfaultfd.resolve(start, lengthBytes);
  }

  [Symbol.dispose](): void {
    this.#userfaultfd.close();
  }
}
