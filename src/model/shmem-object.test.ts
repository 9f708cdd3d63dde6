import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AddressSpaces, addArea } from "../../test/support/address-space.ts";
import { cacheEntryOfSwap, LEAF_PAGES, ShmemObject, swapOfCacheEntry } from "./shmem-object.ts";
import { packSwapEntry } from "./swap.ts";
import type { Vma } from "./vma.ts";

/** Indices near each other, at the edges of leaves, and far beyond 32 bits. */
const anyIndex = fc.oneof(
  fc.nat(8),
  fc
    .tuple(fc.constantFrom(1, 2, 3, 7, 2 ** 22, 2 ** 29), fc.integer({ min: -2, max: 2 }))
    .map(([leaf, offset]) => leaf * LEAF_PAGES + offset),
  fc.integer({ min: 0, max: 2 ** 40 }),
);
const anyEntry = fc.oneof(
  fc.constant(0),
  fc.integer({ min: 1, max: 2 ** 30 }),
  fc
    .tuple(fc.nat(22), fc.nat(2 ** 26 - 1))
    .map(([area, slot]) => cacheEntryOfSwap(packSwapEntry(area, slot))),
);

describe("a page-cache entry", () => {
  test("of swap is negative, and gives the swap entry back", () => {
    fc.assert(
      fc.property(fc.nat(22), fc.nat(2 ** 26 - 1), (area, slot) => {
        const entry = packSwapEntry(area, slot);
        expect(cacheEntryOfSwap(entry)).toBeLessThan(0);
        expect(swapOfCacheEntry(cacheEntryOfSwap(entry))).toBe(entry);
      }),
    );
  });
});

describe("the page cache of an object", () => {
  const anyCommand = fc.record({
    kind: fc.constantFrom(
      "set" as const,
      "set" as const,
      "clear" as const,
      "next" as const,
      "truncate" as const,
    ),
    index: anyIndex,
    entry: anyEntry,
    pages: fc.oneof(fc.nat(20), fc.nat(2 ** 41)),
  });

  test("does, over any operations, what a map does, and counts", () => {
    fc.assert(
      fc.property(fc.array(anyCommand, { maxLength: 60, size: "max" }), (commands) => {
        const object = new ShmemObject(1, 2 ** 52);
        const naive = new Map<number, number>();
        for (const { kind, index, entry, pages } of commands) {
          if (kind === "set") {
            object.set(index, entry);
            if (entry === 0) naive.delete(index);
            else naive.set(index, entry);
          } else if (kind === "clear") {
            object.set(index, 0);
            naive.delete(index);
          } else if (kind === "truncate") {
            for (const other of [...naive.keys()])
              if (other >= index) {
                object.set(other, 0);
                naive.delete(other);
              }
            object.dropLeavesFrom(index);
          } else {
            const end = index + pages;
            const expected = Math.min(end, ...[...naive.keys()].filter((other) => other >= index));
            expect(object.nextEntry(index, end)).toBe(expected);
          }
          expect(object.get(index)).toBe(naive.get(index) ?? 0);
          const entries = [...naive.values()];
          expect(object.residentPages).toBe(entries.filter((one) => one > 0).length);
          expect(object.swappedPages).toBe(entries.filter((one) => one < 0).length);
        }
        for (const [index, entry] of naive) expect(object.get(index)).toBe(entry);
      }),
      { numRuns: 300 },
    );
  });

  test("costs nothing for holes, and little for pages far apart", () => {
    const object = new ShmemObject(1, 2 ** 52);
    object.set(2 ** 39, 0);
    expect(object.nextEntry(0, Number.MAX_SAFE_INTEGER)).toBe(Number.MAX_SAFE_INTEGER);
    expect(object.allocatedBytes).toBe(0);
    object.set(0, 1);
    object.set(2 ** 39, 2);
    expect(object.allocatedBytes).toBe(2 * LEAF_PAGES * 4);
    expect(object.nextEntry(1, 2 ** 40)).toBe(2 ** 39);
  });

  test("gives its memory back when the object is truncated, and what is left stays", () => {
    const object = new ShmemObject(1, 2 ** 30);
    for (let leaf = 0; leaf < 4; leaf++) object.set(leaf * LEAF_PAGES, 1 + leaf);
    for (const leaf of [2, 3]) object.set(leaf * LEAF_PAGES, 0);
    object.dropLeavesFrom(LEAF_PAGES + 1);
    expect(object.allocatedBytes).toBe(2 * LEAF_PAGES * 4);
    expect([object.get(0), object.get(LEAF_PAGES), object.get(2 * LEAF_PAGES)]).toEqual([1, 2, 0]);
    object.set(3 * LEAF_PAGES, 9);
    expect([object.get(0), object.get(3 * LEAF_PAGES)]).toEqual([1, 9]);
    expect([object.nextEntry(LEAF_PAGES + 1, 2 ** 20), object.allocatedBytes]).toEqual([
      3 * LEAF_PAGES,
      3 * LEAF_PAGES * 4,
    ]);
  });
});

describe("an object", () => {
  test.each([
    [0, 0],
    [1, 1],
    [4096, 1],
    [4097, 2],
    [2 ** 50, 2 ** 38],
  ])("of %i bytes spans %i pages", (bytes, pages) => {
    expect(new ShmemObject(1, bytes).sizePages).toBe(pages);
  });

  test("is kept by its descriptor and by the areas that map it", () => {
    const mm = new AddressSpaces().create();
    const object = new ShmemObject(1, 4096);
    const vma = addArea(mm, { start: 100, end: 104, object });
    expect(object.isUnused).toBe(false);
    object.isOpen = false;
    expect(object.isUnused).toBe(false);
    mm.remove(vma);
    expect(object.isUnused).toBe(true);
  });

  test("knows which areas map a page of it", () => {
    const mm = new AddressSpaces().create();
    const object = new ShmemObject(1, 2 ** 30);
    const areas = [0, 3, 3, 7].map((pgoff, i) =>
      addArea(mm, { start: 100 + i * 10, end: 104 + i * 10, object, pgoff }),
    );
    const mapping = (index: number): Vma[] => {
      const found: Vma[] = [];
      object.mappings.collect(index, index, found);
      return found;
    };
    expect(mapping(3)).toEqual([areas[0], areas[1], areas[2]]);
    expect(mapping(6)).toEqual([areas[1], areas[2]]);
    expect([mapping(10), mapping(11)]).toEqual([[areas[3]], []]);
  });
});
