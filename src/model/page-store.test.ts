import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PAGE_SIZE } from "../abi/index.ts";
import { ChunkedPageStore, NoPageStore } from "./page-store.ts";

function filled(value: number): Uint8Array {
  return new Uint8Array(PAGE_SIZE).fill(value);
}

describe("a page store", () => {
  test("starts as zeros, and takes a small part of its size before and after a page is used", () => {
    const store = new ChunkedPageStore(1 << 20);
    const part = (4 * 2 ** 30) / 256;
    expect(store.hasContents).toBe(true);
    expect(store.allocatedBytes()).toBeLessThanOrEqual(part);
    expect(store.loadU32(54321, 8)).toBe(0);
    expect(store.bytes(12345)).toEqual(new Uint8Array(PAGE_SIZE));
    expect(store.allocatedBytes()).toBeLessThanOrEqual(part);
  });

  test("of few pages takes little", () => {
    const store = new ChunkedPageStore(16);
    store.storeU32(15, 0, 1);
    expect(store.allocatedBytes()).toBeLessThanOrEqual(1024 * 1024);
  });

  test.each([1, 2, 63, 64, 65, 1000, 16384, 16385, 65537, 5_000_000])(
    "of %i pages keeps the first, the last and those around every power of two apart",
    (sizePages) => {
      const store = new ChunkedPageStore(sizePages);
      const pages = new Set([0, sizePages - 1]);
      for (let power = 1; power < sizePages; power *= 2)
        for (const page of [power - 1, power, power + 1]) if (page < sizePages) pages.add(page);
      let value = 0;
      for (const page of pages) store.storeU32(page, 4092, ++value);
      value = 0;
      for (const page of pages) expect(store.loadU32(page, 4092), `page ${page}`).toBe(++value);
    },
  );

  test("gives bytes that are the page itself: what is written to them is in it", () => {
    const store = new ChunkedPageStore(100);
    store.bytes(7).set([1, 2, 3, 4], 8);
    expect(store.loadU32(7, 8)).toBe(0x0403_0201);
    store.storeU32(7, 4092, 0xfffe_fdfc);
    expect([...store.bytes(7).subarray(4092)]).toEqual([0xfc, 0xfd, 0xfe, 0xff]);
    expect(store.bytes(7)).toHaveLength(PAGE_SIZE);
  });

  test("copies whole pages, from itself and from another of another size", () => {
    const small = new ChunkedPageStore(3);
    const large = new ChunkedPageStore(100_000);
    large.bytes(99_999).set(filled(9));
    small.copy(2, large, 99_999);
    small.copy(1, small, 2);
    large.bytes(99_999).fill(5);
    expect(small.bytes(2)).toEqual(filled(9));
    expect(small.bytes(1)).toEqual(filled(9));
    expect(small.bytes(0)).toEqual(filled(0));
  });

  test("moves a page to a sibling without taking more memory, and may give it room in return", () => {
    const store = new ChunkedPageStore(64);
    const sibling = store.sibling(1000);
    for (let page = 0; page < 64; page++) store.bytes(page).fill(page + 1);
    const before = store.allocatedBytes();
    for (let page = 0; page < 64; page++) sibling.move(900 + page, store, page);
    expect([store.allocatedBytes(), sibling.allocatedBytes()]).toEqual([before, before]);
    for (let page = 0; page < 64; page++) expect(sibling.loadU32(900 + page, 4092) & 255).toBe(page + 1);
    for (let page = 0; page < 64; page++) store.move(page, sibling, 963 - page);
    expect(store.allocatedBytes()).toBe(before);
    for (let page = 0; page < 64; page++) expect(store.loadU32(page, 4092) & 255).toBe(64 - page);
  });

  test("uses the room of what a moved page takes the place of again", () => {
    const store = new ChunkedPageStore(16);
    const sibling = store.sibling(16);
    const before = store.allocatedBytes();
    for (let round = 1; round <= 1000; round++) {
      store.storeU32(3, 0, round);
      sibling.move(5, store, 3);
      expect(sibling.loadU32(5, 0)).toBe(round);
    }
    expect(store.allocatedBytes()).toBe(before);
  });

  test("moves a page that was never used as zeros, over one that was", () => {
    const store = new ChunkedPageStore(4);
    const sibling = store.sibling(4);
    store.bytes(1).fill(7);
    store.move(1, sibling, 2);
    expect(store.bytes(1)).toEqual(filled(0));
    expect(store.loadU32(1, 0)).toBe(0);
  });

  test("moves a page from a store that is no sibling by a copy", () => {
    const [store, other] = [new ChunkedPageStore(2), new ChunkedPageStore(2)];
    other.bytes(1).fill(7);
    store.move(0, other, 1);
    expect(store.bytes(0)).toEqual(filled(7));
  });

  test("does, over any operations on it and a sibling, what two lists of pages do", () => {
    const sizePages = 8;
    const page = fc.nat(sizePages - 1);
    const operation = fc.record({
      kind: fc.constantFrom(
        "store" as const,
        "store" as const,
        "zero" as const,
        "copy" as const,
        "move" as const,
      ),
      store: fc.nat(1),
      page,
      fromStore: fc.nat(1),
      fromPage: page,
      word: fc.nat(1023),
      value: fc.nat(0xffff_ffff),
    });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60, size: "max" }), (operations) => {
        const first = new ChunkedPageStore(sizePages);
        const stores = [first, first.sibling(sizePages)];
        // Each page's words that are not 0; undefined where the page was moved away and nothing is promised.
        const naive: (Map<number, number> | undefined)[][] = stores.map(() =>
          Array.from({ length: sizePages }, () => new Map<number, number>()),
        );
        for (const { kind, store, page: at, fromStore, fromPage, word, value } of operations) {
          if (kind === "store") {
            if (naive[store][at] === undefined) continue;
            stores[store].storeU32(at, word * 4, value);
            naive[store][at]?.set(word, value);
          } else if (kind === "zero") {
            stores[store].zero(at);
            naive[store][at] = new Map();
          } else if (store !== fromStore || at !== fromPage) {
            const moved = naive[fromStore][fromPage];
            if (moved === undefined) continue;
            stores[store][kind](at, stores[fromStore], fromPage);
            naive[store][at] = new Map(moved);
            if (kind === "move") naive[fromStore][fromPage] = undefined;
          }
        }
        for (const [store, pages] of naive.entries())
          for (const [at, words] of pages.entries()) {
            if (words === undefined) continue;
            const expected = new Uint32Array(1024);
            for (const [word, value] of words) expected[word] = value;
            expect(stores[store].loadU32(at, 4)).toBe(expected[1]);
            const same = Buffer.compare(stores[store].bytes(at), new Uint8Array(expected.buffer)) === 0;
            expect(same, `page ${at} of store ${store}`).toBe(true);
          }
      }),
    );
  });
});

describe("a page store without contents", () => {
  test("takes no memory: loads are 0, stores are forgotten", () => {
    const store = new NoPageStore();
    store.storeU32();
    store.zero();
    store.copy();
    store.move();
    expect(store.sibling()).toBe(store);
    expect(store.bytesPerPage).toBe(0);
    expect(store.loadU32()).toBe(0);
    expect(store.bytes()).toHaveLength(0);
    expect(store.hasContents).toBe(false);
    expect(store.allocatedBytes()).toBe(0);
  });
});
