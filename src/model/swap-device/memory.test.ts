import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ConfigError } from "../config.ts";
import { ChunkedPageStore, NoPageStore } from "../page-store.ts";
import { MemorySwapDevice } from "./memory.ts";

/** The byte that fills a page; -1 if its bytes differ. */
function filler(bytes: Uint8Array): number {
  return bytes.every((byte) => byte === bytes[0]) ? bytes[0] : -1;
}

describe("swap in memory", () => {
  test.each([1, 0, -1, 1.5, Number.NaN, Infinity])("of %d slots is refused", (slots) => {
    expect(() => new MemorySwapDevice({ slots })).toThrow(
      new ConfigError(`swap device: slots ${slots} must be an integer from 2`),
    );
  });

  test("is synchronous, as zram is, unless it is told to act like a disk", () => {
    expect(new MemorySwapDevice({ slots: 2 }).synchronous).toBe(true);
    expect(new MemorySwapDevice({ slots: 2, synchronous: false }).synchronous).toBe(false);
  });

  test("gives back, over any writes and reads, what was written last", () => {
    const slots = 3000;
    const anySlot = fc.oneof(fc.nat(5), fc.nat(slots - 1));
    const operation = fc.record({ isWrite: fc.boolean(), slot: anySlot, value: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40, size: "max" }), (operations) => {
        const device = new MemorySwapDevice({ slots });
        const pages = new ChunkedPageStore(2);
        const naive = new Map<number, number>();
        for (const { isWrite, slot, value } of operations) {
          if (isWrite) {
            pages.bytes(0).fill(value);
            device.write(slot, pages, 0);
            naive.set(slot, value);
          } else {
            pages.bytes(1).fill(0xee);
            device.read(slot, pages, 1);
            expect(filler(pages.bytes(1)), `slot ${slot}`).toBe(naive.get(slot) ?? 0);
          }
        }
      }),
    );
  });

  test("takes pages over, and gives them back, without more memory; and a slot can be read more than once", () => {
    const pages = new ChunkedPageStore(200);
    const device = new MemorySwapDevice({ slots: 1000 });
    for (let page = 0; page < 200; page++) pages.bytes(page).fill(page);
    const before = pages.allocatedBytes();
    for (let page = 0; page < 200; page++) device.give(500 + page, pages, page);
    for (let page = 0; page < 200; page++) device.take(500 + page, pages, 199 - page);
    expect(pages.allocatedBytes()).toBe(before);
    for (let page = 0; page < 200; page++) expect(filler(pages.bytes(page))).toBe(199 - page);
    device.give(1, pages, 7);
    device.read(1, pages, 8);
    device.read(1, pages, 9);
    expect([filler(pages.bytes(8)), filler(pages.bytes(9))]).toEqual([192, 192]);
  });

  test("keeps a copy: the page may change after", () => {
    const device = new MemorySwapDevice({ slots: 2 });
    const pages = new ChunkedPageStore(2);
    pages.bytes(0).fill(1);
    device.write(1, pages, 0);
    pages.bytes(0).fill(2);
    device.read(1, pages, 1);
    expect(filler(pages.bytes(1))).toBe(1);
  });

  test("without contents works with pages that have none", () => {
    const device = new MemorySwapDevice({ slots: 2 ** 26 });
    const pages = new NoPageStore();
    device.write(2 ** 26 - 1, pages, 0);
    device.read(2 ** 26 - 1, pages, 0);
    device.free();
    device.close();
  });
});
