/**
 * Contents of 4 KiB pages, numbered from 0. A page has a cell of memory from when it is first used; cells are
 * in chunks,
 * and stores that share a pool can hand cells over instead of copying bytes.
 */

import { PAGE_SIZE } from "../abi/index.ts";

/** A chunk of cells is 1/256 of the pool's first store, but from 64 KiB to 64 MiB. */
const CHUNKS_SHIFT = 8;
const CHUNK_CELLS_SHIFT_MIN = 4;
const CHUNK_CELLS_SHIFT_MAX = 14;

/** Real bytes for each page, or none at all (`NoPageStore`): the model's state is the same either way. */
export interface PageStore {
  readonly hasContents: boolean;
  /** What finding a page's contents takes, besides them. */
  readonly bytesPerPage: number;
  zero(page: number): void;
  /** Copies a page of `from` into a page of this store. */
  copy(page: number, from: PageStore, fromPage: number): void;
  /**
   * The same, where the page of `from` is not needed any more: it may be handed over, and is undefined after.
   */
  move(page: number, from: PageStore, fromPage: number): void;
  /** The page's 4096 bytes themselves, to read or write now (not to keep). Empty without contents. */
  bytes(page: number): Uint8Array;
  loadU32(page: number, offset: number): number;
  storeU32(page: number, offset: number, value: number): void;
  /** A store of `sizePages` that shares this one's memory: pages move between them without a copy. */
  sibling(sizePages: number): PageStore;
  /** Bytes held for contents so far, siblings' included. */
  allocatedBytes(): number;
}

/** Cells of 4096 bytes, numbered from 1. */
class CellPool {
  readonly shift: number;
  readonly mask: number;
  readonly chunks: Uint8Array[] = [];
  readonly words: Uint32Array[] = [];
  readonly #free: number[] = [];
  #unused = 1;

  constructor(sizePages: number) {
    const wanted = Math.ceil(Math.log2(sizePages)) - CHUNKS_SHIFT;
    this.shift = Math.max(CHUNK_CELLS_SHIFT_MIN, Math.min(CHUNK_CELLS_SHIFT_MAX, wanted));
    this.mask = (1 << this.shift) - 1;
    // Cell 0 stays zero, for pages that have none.
    this.#grow();
  }

  #grow(): void {
    const chunk = new Uint8Array(PAGE_SIZE << this.shift);
    this.chunks.push(chunk);
    this.words.push(new Uint32Array(chunk.buffer));
  }

  /** A cell with undefined contents. */
  take(): number {
    const cell = this.#free.pop() ?? this.#unused++;
    if (cell >>> this.shift === this.chunks.length) this.#grow();
    return cell;
  }

  giveBack(cell: number): void {
    this.#free.push(cell);
  }
}

export class ChunkedPageStore implements PageStore {
  readonly hasContents = true;
  readonly bytesPerPage = 4;
  readonly #pool: CellPool;
  /** Each page's cell, or 0. */
  readonly #cells: Int32Array;

  constructor(sizePages: number, sibling?: ChunkedPageStore) {
    this.#pool = sibling === undefined ? new CellPool(sizePages) : sibling.#pool;
    this.#cells = new Int32Array(sizePages);
  }

  /** The page's cell; a new one has undefined contents. */
  #cell(page: number): number {
    let cell = this.#cells[page];
    if (cell === 0) {
      cell = this.#pool.take();
      this.#cells[page] = cell;
    }
    return cell;
  }

  zero(page: number): void {
    const cell = this.#cell(page);
    const { chunks, shift, mask } = this.#pool;
    const offset = (cell & mask) * PAGE_SIZE;
    chunks[cell >>> shift].fill(0, offset, offset + PAGE_SIZE);
  }

  copy(page: number, from: PageStore, fromPage: number): void {
    const cell = this.#cell(page);
    const { chunks, shift, mask } = this.#pool;
    chunks[cell >>> shift].set(from.bytes(fromPage), (cell & mask) * PAGE_SIZE);
  }

  move(page: number, from: PageStore, fromPage: number): void {
    if (!(from instanceof ChunkedPageStore) || from.#pool !== this.#pool) {
      this.copy(page, from, fromPage);
      return;
    }
    const cell = this.#cells[page];
    if (cell !== 0) this.#pool.giveBack(cell);
    this.#cells[page] = from.#cells[fromPage];
    from.#cells[fromPage] = 0;
  }

  bytes(page: number): Uint8Array {
    if (this.#cells[page] === 0) this.zero(page);
    const cell = this.#cells[page];
    const { chunks, shift, mask } = this.#pool;
    const offset = (cell & mask) * PAGE_SIZE;
    return chunks[cell >>> shift].subarray(offset, offset + PAGE_SIZE);
  }

  loadU32(page: number, offset: number): number {
    const cell = this.#cells[page];
    const { words, shift, mask } = this.#pool;
    return words[cell >>> shift][((cell & mask) << 10) | (offset >>> 2)];
  }

  storeU32(page: number, offset: number, value: number): void {
    if (this.#cells[page] === 0) this.zero(page);
    const cell = this.#cells[page];
    const { words, shift, mask } = this.#pool;
    words[cell >>> shift][((cell & mask) << 10) | (offset >>> 2)] = value;
  }

  sibling(sizePages: number): PageStore {
    return new ChunkedPageStore(sizePages, this);
  }

  allocatedBytes(): number {
    return this.#pool.chunks.length * (PAGE_SIZE << this.#pool.shift);
  }
}

/** One 32-bit word stands for a whole page: enough to tell pages apart, and cheap to copy. */
export class WordPageStore implements PageStore {
  readonly hasContents = true;
  readonly bytesPerPage = 4;
  readonly words: Uint32Array;
  readonly #bytes: Uint8Array;

  constructor(sizePages: number) {
    this.words = new Uint32Array(sizePages);
    this.#bytes = new Uint8Array(this.words.buffer);
  }

  zero(page: number): void {
    this.words[page] = 0;
  }

  copy(page: number, from: PageStore, fromPage: number): void {
    this.words[page] = from.loadU32(fromPage, 0);
  }

  move(page: number, from: PageStore, fromPage: number): void {
    this.copy(page, from, fromPage);
    from.zero(fromPage);
  }

  /** The word's four bytes. */
  bytes(page: number): Uint8Array {
    return this.#bytes.subarray(page * 4, page * 4 + 4);
  }

  loadU32(page: number): number {
    return this.words[page];
  }

  storeU32(page: number, _offset: number, value: number): void {
    this.words[page] = value;
  }

  sibling(sizePages: number): PageStore {
    return new WordPageStore(sizePages);
  }

  allocatedBytes(): number {
    return this.words.byteLength;
  }
}

const NO_BYTES = new Uint8Array(0);

/** No contents: loads are 0, stores are forgotten. For simulating more memory than there is. */
export class NoPageStore implements PageStore {
  readonly hasContents = false;
  readonly bytesPerPage = 0;
  zero(): void {}
  copy(): void {}
  move(): void {}
  bytes(): Uint8Array {
    return NO_BYTES;
  }
  loadU32(): number {
    return 0;
  }
  storeU32(): void {}
  sibling(): PageStore {
    return this;
  }
  allocatedBytes(): number {
    return 0;
  }
}
