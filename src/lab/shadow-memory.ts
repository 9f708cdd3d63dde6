/**
 * What memory must contain, kept apart from the model and much simpler: bytes of objects, private copies, protections.
 * Knows nothing of page tables, faults, swap or reclaim: those must not be seen in what is read.
 */

import { PAGE_SIZE } from "../abi/index.ts";

/** What memory holds is not what was last written to it. */
export class DataError extends Error {
  override readonly name = "DataError";
}

/** Bytes of a page; a page that isn't there is zero. */
export type Bytes = Uint8Array;

export class ShadowObject {
  sizeBytes: number;
  readonly pages = new Map<number, Bytes>();

  constructor(sizeBytes: number) {
    this.sizeBytes = sizeBytes;
  }

  page(index: number): Bytes {
    let bytes = this.pages.get(index);
    if (bytes === undefined) {
      bytes = new Uint8Array(PAGE_SIZE);
      this.pages.set(index, bytes);
    }
    return bytes;
  }

  write(position: number, data: Uint8Array): void {
    data.forEach((byte, i) => {
      this.page(Math.floor((position + i) / PAGE_SIZE))[(position + i) % PAGE_SIZE] = byte;
    });
    this.sizeBytes = Math.max(this.sizeBytes, position + data.length);
  }

  read(position: number, lengthBytes: number): Uint8Array {
    const data = new Uint8Array(Math.max(0, Math.min(lengthBytes, this.sizeBytes - position)));
    for (let i = 0; i < data.length; i++)
      data[i] = this.pages.get(Math.floor((position + i) / PAGE_SIZE))?.[(position + i) % PAGE_SIZE] ?? 0;
    return data;
  }

  /** Zeroes bytes, and forgets whole pages. */
  zero(from: number, to: number): void {
    for (const [index, bytes] of this.pages) {
      const base = index * PAGE_SIZE;
      if (from <= base && to >= base + PAGE_SIZE) this.pages.delete(index);
      else if (from < base + PAGE_SIZE && to > base)
        bytes.fill(0, Math.max(0, from - base), Math.max(0, to - base));
    }
  }

  truncate(sizeBytes: number): void {
    if (sizeBytes <= this.sizeBytes) this.zero(sizeBytes, Number.MAX_SAFE_INTEGER);
    this.sizeBytes = sizeBytes;
  }
}

/** A private page of a mapping. */
export interface PrivatePage {
  readonly bytes: Bytes;
  /** After MADV_FREE: it may turn into zeros at any time until it is written. */
  maybeZero: boolean;
}

export type Protection = "unmapped" | "r" | "rw";

/** A mapping of a process, page by page. */
export class ShadowMapping {
  address: number;
  readonly kind: "shared" | "private";
  readonly object: ShadowObject | undefined;
  readonly firstPage: number;
  readonly protections: Protection[];
  readonly own = new Map<number, PrivatePage>();

  constructor(options: {
    readonly address: number;
    readonly pages: number;
    readonly kind: "shared" | "private";
    readonly object: ShadowObject | undefined;
    readonly firstPage: number;
    readonly writable: boolean;
  }) {
    this.address = options.address;
    this.kind = options.kind;
    this.object = options.object;
    this.firstPage = options.firstPage;
    this.protections = new Array(options.pages).fill(options.writable ? "rw" : "r");
  }

  get pages(): number {
    return this.protections.length;
  }

  /** A forked child's: private pages are copied, objects are shared. */
  copy(): ShadowMapping {
    const { address, pages, kind, object, firstPage } = this;
    const copy = new ShadowMapping({ address, pages, kind, object, firstPage, writable: false });
    for (let i = 0; i < pages; i++) copy.protections[i] = this.protections[i];
    for (const [page, { bytes, maybeZero }] of this.own)
      copy.own.set(page, { bytes: bytes.slice(), maybeZero });
    return copy;
  }

  /** What an access to a page must end in; undefined if it must succeed. */
  signalFor(page: number, isWrite: boolean): "SIGSEGV" | "SIGBUS" | undefined {
    const protection = this.protections[page];
    if (protection === "unmapped" || (isWrite && protection !== "rw")) return "SIGSEGV";
    if (this.own.has(page) || this.object === undefined) return undefined;
    return (this.firstPage + page) * PAGE_SIZE < this.object.sizeBytes ? undefined : "SIGBUS";
  }

  /** The page's bytes as they must be read; not to be changed. */
  bytes(page: number): Bytes {
    return this.own.get(page)?.bytes ?? this.object?.pages.get(this.firstPage + page) ?? ZEROS;
  }

  /** Makes the page private, with the bytes it has. */
  makeOwn(page: number): PrivatePage {
    let own = this.own.get(page);
    if (own === undefined) {
      own = { bytes: this.bytes(page).slice(), maybeZero: false };
      this.own.set(page, own);
    }
    return own;
  }

  write(page: number, offset: number, data: Uint8Array): void {
    if (this.kind === "private") this.makeOwn(page).bytes.set(data, offset);
    else this.object?.page(this.firstPage + page).set(data, offset);
  }

  unmap(first: number, pages: number): void {
    for (let page = first; page < first + pages; page++) {
      this.protections[page] = "unmapped";
      this.own.delete(page);
    }
  }

  /** Private pages of an object beyond its new end are gone. */
  truncated(object: ShadowObject): void {
    if (this.object !== object) return;
    const end = Math.ceil(object.sizeBytes / PAGE_SIZE);
    for (const page of [...this.own.keys()]) if (this.firstPage + page >= end) this.own.delete(page);
  }
}

export const ZEROS = new Uint8Array(PAGE_SIZE);
