import { ConfigError } from "../config.ts";
import { ChunkedPageStore, NoPageStore, type PageStore } from "../page-store.ts";
import type { SwapDevice } from "./device.ts";

/** Swap in memory: synchronous, as zram is. */
export class MemorySwapDevice implements SwapDevice {
  readonly slots: number;
  readonly synchronous: boolean;
  readonly #store: PageStore;

  /** `contents: false` keeps no bytes, for a kernel that has none; `synchronous: false` acts like a disk. */
  constructor(options: { slots: number; synchronous?: boolean; contents?: boolean }) {
    if (!Number.isInteger(options.slots) || options.slots < 2)
      throw new ConfigError(`swap device: slots ${options.slots} must be an integer from 2`);
    this.slots = options.slots;
    this.synchronous = options.synchronous ?? true;
    this.#store = options.contents === false ? new NoPageStore() : new ChunkedPageStore(options.slots);
  }

  read(slot: number, pages: PageStore, page: number): void {
    pages.copy(page, this.#store, slot);
  }

  write(slot: number, pages: PageStore, page: number): void {
    this.#store.copy(slot, pages, page);
  }

  free(): void {}

  close(): void {}
}
