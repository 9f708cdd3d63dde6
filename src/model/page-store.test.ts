import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PAGE_SIZE } from "../abi/index.ts";
import { ChunkedPageStore, NoPageStore } from "./page-store.ts";

function filled(value: number): Uint8Array {
  return new Uint8Array(PAGE_SIZE).fill(value);
}

describe("a page store", () => {
  test("starts as zeros, and takes nothing until a page is used", () => {
    const store = new ChunkedPageStore(1 << 20);
    expect(store.allocatedBytes()).toBe(0);
    expect(store.hasContents).toBe(true);
    expect(store.bytes(12345)).toEqual(new Uint8Array(PAGE_SIZE));
    // One chunk, a small part of the 4 GiB.
    expect(store.allocatedBytes()).toBeGreaterThan(0);
    expect(store.allocatedBytes()).toBeLessThanOrEqual(64 * 1024 * 1024);
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

  test("does, over any operations, what a list of pages does", () => {
    const sizePages = 200;
    const page = fc.nat(sizePages - 1);
    const operation = fc.oneof(
      fc.record({
        kind: fc.constant("store" as const),
        page,
        word: fc.nat(1023),
        value: fc.nat(0xffff_ffff),
      }),
      fc.record({ kind: fc.constant("zero" as const), page, word: fc.nat(1023), value: fc.constant(0) }),
      fc.record({ kind: fc.constant("copy" as const), page, word: page, value: fc.constant(0) }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const store = new ChunkedPageStore(sizePages);
        const naive = new Map<number, Map<number, number>>();
        for (const { kind, page: target, word, value } of operations) {
          if (kind === "store") {
            store.storeU32(target, word * 4, value);
            naive.set(target, new Map(naive.get(target)).set(word, value));
          } else if (kind === "zero") {
            store.zero(target);
            naive.delete(target);
          } else {
            store.copy(target, store, word);
            naive.set(target, new Map(naive.get(word)));
          }
        }
        for (const [at, words] of naive) {
          const expected = new Uint32Array(1024);
          for (const [word, value] of words) expected[word] = value;
          expect(new Uint32Array(store.bytes(at).slice().buffer)).toEqual(expected);
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
    expect(store.loadU32()).toBe(0);
    expect(store.bytes()).toHaveLength(0);
    expect(store.hasContents).toBe(false);
    expect(store.allocatedBytes()).toBe(0);
  });
});
