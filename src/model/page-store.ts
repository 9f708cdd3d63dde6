/** Contents of 4 KiB pages, numbered from 0, in chunks that are allocated when first written. */

import { PAGE_SIZE } from "../abi/index.ts";

/** A chunk is 1/256 of the store, but from 64 KiB to 64 MiB. */
const CHUNKS_SHIFT = 8;
const CHUNK_PAGES_SHIFT_MIN = 4;
const CHUNK_PAGES_SHIFT_MAX = 14;

/** Real bytes for each page, or none at all (`NoPageStore`): the model's state is the same either way. */
export interface PageStore {
  readonly hasContents: boolean;
  zero(page: number): void;
  /** Copies a page of `from` into a page of this store. */
  copy(page: number, from: PageStore, fromPage: number): void;
  /** The page's 4096 bytes themselves, to read or write now (not to keep). Empty without contents. */
  bytes(page: number): Uint8Array;
  loadU32(page: number, offset: number): number;
  storeU32(page: number, offset: number, value: number): void;
  /** Bytes held for contents so far. */
  allocatedBytes(): number;
}

export class ChunkedPageStore implements PageStore {
  readonly hasContents = true;
  readonly #chunks: Uint8Array[] = [];
  readonly #words: Uint32Array[] = [];
  readonly #shift: number;
  readonly #mask: number;

  constructor(sizePages: number) {
    const wanted = Math.ceil(Math.log2(sizePages)) - CHUNKS_SHIFT;
    this.#shift = Math.max(CHUNK_PAGES_SHIFT_MIN, Math.min(CHUNK_PAGES_SHIFT_MAX, wanted));
    this.#mask = (1 << this.#shift) - 1;
  }

  #chunk(page: number): Uint8Array {
    const index = page >>> this.#shift;
    const chunk = this.#chunks[index];
    if (chunk !== undefined) return chunk;
    while (this.#chunks.length <= index) {
      this.#chunks.push(undefined as unknown as Uint8Array);
      this.#words.push(undefined as unknown as Uint32Array);
    }
    const made = new Uint8Array(PAGE_SIZE << this.#shift);
    this.#chunks[index] = made;
    this.#words[index] = new Uint32Array(made.buffer);
    return made;
  }

  zero(page: number): void {
    const offset = (page & this.#mask) * PAGE_SIZE;
    this.#chunk(page).fill(0, offset, offset + PAGE_SIZE);
  }

  copy(page: number, from: PageStore, fromPage: number): void {
    this.#chunk(page).set(from.bytes(fromPage), (page & this.#mask) * PAGE_SIZE);
  }

  bytes(page: number): Uint8Array {
    const offset = (page & this.#mask) * PAGE_SIZE;
    return this.#chunk(page).subarray(offset, offset + PAGE_SIZE);
  }

  loadU32(page: number, offset: number): number {
    this.#chunk(page);
    return this.#words[page >>> this.#shift][((page & this.#mask) << 10) | (offset >>> 2)];
  }

  storeU32(page: number, offset: number, value: number): void {
    this.#chunk(page);
    this.#words[page >>> this.#shift][((page & this.#mask) << 10) | (offset >>> 2)] = value;
  }

  allocatedBytes(): number {
    return this.#chunks.reduce((sum, chunk) => sum + (chunk === undefined ? 0 : chunk.byteLength), 0);
  }
}

const NO_BYTES = new Uint8Array(0);

/** No contents: loads are 0, stores are forgotten. For simulating more memory than there is. */
export class NoPageStore implements PageStore {
  readonly hasContents = false;
  zero(): void {}
  copy(): void {}
  bytes(): Uint8Array {
    return NO_BYTES;
  }
  loadU32(): number {
    return 0;
  }
  storeU32(): void {}
  allocatedBytes(): number {
    return 0;
  }
}
