/** A process of the model, to be asked as one of the running kernel is. */

import { PAGE_SIZE, PM_HI_SWAP, PM_HI_UFFD_WP } from "../abi/index.ts";
import { type Kernel, Memfd, type Process } from "../model/index.ts";
import type { CacheCounts, EntryMeaning, Mapping, ObjectStamp, ObjectView, Target } from "./target.ts";

export class ModelTarget implements Target {
  readonly pid: number;
  readonly name: string;
  readonly kernel: string;
  readonly entries: EntryMeaning;
  /** What is done is done: nothing is under way while we look. */
  readonly settleMs = 0;
  readonly #kernel: Kernel;
  readonly #process: Process;

  constructor(kernel: Kernel, process: Process) {
    this.#kernel = kernel;
    this.#process = process;
    this.pid = process.pid;
    this.name = `process ${process.pid}`;
    this.kernel = `model of ${kernel.config.release}`;
    this.entries = {
      swapTypesEnd: kernel.swap.areasMax,
      markerType: kernel.markers?.type,
      markerFlags: kernel.pageoutMarkerHi !== 0 ? PM_HI_SWAP : PM_HI_SWAP | PM_HI_UFFD_WP,
    };
  }

  mappings(): Mapping[] {
    return this.#process.maps().map(({ start, end, perms, offsetBytes, inode }) => ({
      start,
      end,
      kind: inode === 0 ? "anon" : "shmem",
      shared: perms.endsWith("s"),
      objectId: inode === 0 ? "" : String(inode),
      name: inode === 0 ? "" : `object ${inode}`,
      objectFirstPage: offsetBytes / PAGE_SIZE,
    }));
  }

  readPagemap(firstPage: number, words: Uint32Array): number {
    const { buffer, byteOffset, byteLength } = words;
    return this.#process.pagemap.pread(new Uint8Array(buffer, byteOffset, byteLength), firstPage * 8) / 8;
  }

  /** A model's address space is small enough to be read. */
  populatedRanges(): undefined {
    return undefined;
  }

  openObject(mapping: Mapping): ObjectView {
    return new ModelObjectView(new Memfd(this.#kernel, this.#kernel.object(Number(mapping.objectId))));
  }

  swapIns(): number {
    return this.#kernel.vmstat.pswpin;
  }

  swapOuts(): number {
    return this.#kernel.vmstat.pswpout;
  }

  /** After every change there was. */
  now(): number {
    return Number.MAX_SAFE_INTEGER;
  }

  [Symbol.dispose](): void {
    // Nothing is open.
  }
}

class ModelObjectView implements ObjectView {
  readonly #memfd: Memfd;

  constructor(memfd: Memfd) {
    this.#memfd = memfd;
  }

  mincore(first: number, pages: number, resident: Uint8Array): void {
    this.#memfd.mincore(first, pages, resident);
  }

  forEachData(first: number, pages: number, run: (first: number, pages: number) => void): void {
    this.#memfd.forEachData(first, pages, run);
  }

  cachestat(first: number, pages: number): CacheCounts {
    return this.#memfd.cachestat(first, pages);
  }

  stat(): ObjectStamp {
    const { sizeBytes, blocks, changes } = this.#memfd.fstat();
    return { sizePages: Math.ceil(sizeBytes / PAGE_SIZE), blocks, changedNs: BigInt(changes) };
  }

  [Symbol.dispose](): void {
    // A look, not a descriptor.
  }
}
