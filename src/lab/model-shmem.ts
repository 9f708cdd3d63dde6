/** One process of the model with one shared mapping, its pages full of checked bytes. */
import { mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TMPFS_MAGIC } from "../abi/index.ts";
import { Kernel, type KernelConfig, MemorySwapDevice, type SwapDevice } from "../model/index.ts";
import { FileSwapDevice } from "../model/swap-device/file.ts";
import { type ContentKind, checkPages, fillPages, PAGE_BYTES } from "./page-content.ts";

/** Frames beside those of the mapping, so that watermarks are never reached. */
const SPARE_FRAMES = 4096;
/** Usable slots beside those that the mapping needs. */
const SPARE_SLOTS = 63;
/** The swap header takes one more. */
const HEADER_SLOTS = 1;
const CHUNK_PAGES = 256;

export interface ModelOptions {
  readonly sizePages: number;
  readonly swap: "memory" | "file";
  /** Switches set otherwise than in the profile `rfc`. */
  readonly config: Partial<KernelConfig>;
}

export type WorkCounts = Record<string, number>;

export class ModelShmem {
  readonly sizePages: number;
  readonly lengthBytes: number;
  readonly kernel: Kernel;
  readonly process: ReturnType<Kernel["createProcess"]>;
  readonly address: number;
  /** Set when the swap file is not on a disk's file system. */
  readonly swapFileNote: string | undefined;
  readonly #removeFile: () => void;

  constructor(options: ModelOptions) {
    this.sizePages = options.sizePages;
    this.lengthBytes = options.sizePages * PAGE_BYTES;
    const slots = options.sizePages + SPARE_SLOTS + HEADER_SLOTS;
    let device: SwapDevice;
    if (options.swap === "file") {
      const directory = mkdtempSync(join(tmpdir(), "ptemark-swap-"));
      this.#removeFile = () => rmSync(directory, { recursive: true, force: true });
      process.on("exit", this.#removeFile);
      if (statfsSync(directory).type === TMPFS_MAGIC)
        this.swapFileNote = `${tmpdir()} is tmpfs: set TMPDIR to a disk`;
      device = new FileSwapDevice({ path: join(directory, "swap"), slots });
    } else {
      this.#removeFile = () => {};
      device = new MemorySwapDevice({ slots });
    }
    this.kernel = new Kernel({
      profile: "rfc",
      config: options.config,
      memoryPages: options.sizePages + SPARE_FRAMES,
      swap: [device],
    });
    this.process = this.kernel.createProcess();
    const object = this.kernel.memfdCreate({ sizePages: options.sizePages });
    this.address = this.process.mmap({ lengthBytes: this.lengthBytes, object, shared: true, write: true });
  }

  fill(content: { kind: ContentKind; seed: number }): void {
    const words = new Uint32Array((Math.min(CHUNK_PAGES, this.sizePages) * PAGE_BYTES) / 4);
    const bytes = new Uint8Array(words.buffer);
    for (let page = 0; page < this.sizePages; page += CHUNK_PAGES) {
      fillPages(words, { ...content, firstPage: page });
      this.process.writeBytes(this.address + page * PAGE_BYTES, bytes);
    }
  }

  /** Throws unless every byte is as filled; gives a hash. */
  check(content: { kind: ContentKind; seed: number; what: string }): number {
    const words = new Uint32Array((Math.min(CHUNK_PAGES, this.sizePages) * PAGE_BYTES) / 4);
    const bytes = new Uint8Array(words.buffer);
    let hash = 0;
    for (let page = 0; page < this.sizePages; page += CHUNK_PAGES) {
      this.process.readBytes(this.address + page * PAGE_BYTES, bytes);
      hash = checkPages(words, { ...content, firstPage: page, hash });
    }
    return hash;
  }

  touchAll(): void {
    this.process.touchRead(this.address, this.lengthBytes);
  }

  freeSlots(): number {
    return this.kernel.swap.freeSlots;
  }

  /** Throws unless every page has gone to swap. */
  pageOutAll(): void {
    this.process.madvise(this.address, this.lengthBytes, "PAGEOUT");
    const left = this.freeSlots();
    if (left !== SPARE_SLOTS)
      throw new Error(`model: ${left - SPARE_SLOTS} pages stay in memory after MADV_PAGEOUT`);
  }

  /** What `work` does by the kernel's counters, a page. */
  countWork(work: () => void): WorkCounts {
    const before: WorkCounts = { ...this.kernel.work };
    work();
    const after: WorkCounts = { ...this.kernel.work };
    return Object.fromEntries(Object.keys(after).map((name) => [name, after[name] - before[name]]));
  }

  close(): void {
    process.off("exit", this.#removeFile);
    this.#removeFile();
  }
}
