import { ConfigError } from "../config.ts";
import type { PageStore } from "../page-store.ts";
import type { SwapDevice } from "./device.ts";

/** Swap in memory: synchronous, as zram is. Pages that leave memory for good are handed over, not copied. */
export class MemorySwapDevice implements SwapDevice {
  readonly slots: number;
  readonly synchronous: boolean;
  /** Beside the memory that is first written out; without contents if that has none. */
  #store: PageStore | undefined;

  /** `synchronous: false` acts like a disk. */
  constructor(options: { readonly slots: number; readonly synchronous?: boolean }) {
    if (!Number.isInteger(options.slots) || options.slots < 2)
      throw new ConfigError(`swap device: slots ${options.slots} must be an integer from 2`);
    this.slots = options.slots;
    this.synchronous = options.synchronous ?? true;
  }

  #beside(pages: PageStore): PageStore {
    this.#store ??= pages.sibling(this.slots);
    return this.#store;
  }

  read(slot: number, pages: PageStore, page: number): void {
    pages.copy(page, this.#beside(pages), slot);
  }

  write(slot: number, pages: PageStore, page: number): void {
    this.#beside(pages).copy(slot, pages, page);
  }

  take(slot: number, pages: PageStore, page: number): void {
    pages.move(page, this.#beside(pages), slot);
  }

  give(slot: number, pages: PageStore, page: number): void {
    this.#beside(pages).move(slot, pages, page);
  }

  free(): void {}

  close(): void {}
}
