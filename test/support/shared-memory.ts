import { closeSync, ftruncateSync } from "node:fs";
import process from "node:process";
import { MAP_SHARED, PAGE_SIZE, PROT_READ, PROT_WRITE } from "../../src/abi/index.ts";
import { madvise, memfdCreate, mmap, munmap, viewOf } from "../../src/linux/libc.ts";
import { type MapsEntry, readMaps } from "../../src/linux/maps.ts";

const MADV_NOHUGEPAGE = 15;

/** A memfd of this process, mapped here: pages of 4 KiB, none of them touched yet. */
export class SharedMemory implements Disposable {
  readonly fd: number;
  readonly pages: number;
  /** Address of the mapping, bytes. */
  readonly address: number;
  readonly #bytes: Uint8Array;

  constructor(pages: number, name = "ptemark-test") {
    this.pages = pages;
    this.fd = memfdCreate(name);
    ftruncateSync(this.fd, pages * PAGE_SIZE);
    const lengthBytes = pages * PAGE_SIZE;
    const pointer = mmap({ lengthBytes, prot: PROT_READ | PROT_WRITE, flags: MAP_SHARED, fd: this.fd });
    madvise(pointer, lengthBytes, MADV_NOHUGEPAGE);
    this.address = Number(pointer);
    this.#bytes = new Uint8Array(viewOf(pointer, lengthBytes));
  }

  get firstPage(): number {
    return this.address / PAGE_SIZE;
  }

  /** Writes a byte to a page. */
  touch(page: number): void {
    this.#bytes[page * PAGE_SIZE] = 1;
  }

  madvise(page: number, pages: number, advice: number): void {
    madvise(BigInt(this.address + page * PAGE_SIZE), pages * PAGE_SIZE, advice);
  }

  /** The line of maps that it is in. */
  entry(): MapsEntry {
    const found = readMaps(process.pid).find(({ start, end }) => start <= this.address && this.address < end);
    if (!found) throw new Error("the mapping is not in maps");
    return found;
  }

  [Symbol.dispose](): void {
    munmap(BigInt(this.address), this.pages * PAGE_SIZE);
    closeSync(this.fd);
  }
}
