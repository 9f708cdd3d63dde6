import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type IntervalItem, IntervalTree } from "./interval-tree.ts";

interface Entry {
  readonly item: IntervalItem;
  readonly start: number;
  readonly last: number;
}

function collect(tree: IntervalTree<IntervalItem>, start: number, last: number): number[] {
  const found: IntervalItem[] = [];
  tree.collect(start, last, found);
  return found.map((item) => item.id);
}

function collectNaively(entries: readonly Entry[], start: number, last: number): number[] {
  return entries
    .filter((entry) => entry.start <= last && entry.last >= start)
    .sort((a, b) => a.start - b.start || a.item.id - b.item.id)
    .map((entry) => entry.item.id);
}

/** Few different places, so that many items start at one; or places far apart, beyond 32 bits. */
const anyStart = fc.oneof(fc.nat(20), fc.integer({ min: 0, max: 2 ** 36 }));
const anyLength = fc.oneof(fc.nat(6), fc.integer({ min: 0, max: 2 ** 35 }));

const anyCommand = fc.oneof(
  fc.record({ kind: fc.constant("insert" as const), start: anyStart, length: anyLength }),
  fc.record({ kind: fc.constant("remove" as const), start: fc.nat(1000), length: fc.constant(0) }),
  fc.record({ kind: fc.constant("collect" as const), start: anyStart, length: anyLength }),
);

describe("an interval tree", () => {
  test("finds, over any insertions and removals, what a search through all finds", () => {
    fc.assert(
      fc.property(fc.array(anyCommand, { maxLength: 80, size: "max" }), (commands) => {
        const tree = new IntervalTree<IntervalItem>();
        const entries: Entry[] = [];
        let id = 0;
        for (const { kind, start, length } of commands) {
          if (kind === "insert") {
            const entry = { item: { id: ++id }, start, last: start + length };
            entries.push(entry);
            tree.insert(entry.item, entry.start, entry.last);
          } else if (kind === "remove") {
            if (entries.length === 0) continue;
            const [entry] = entries.splice(start % entries.length, 1);
            tree.remove(entry.item, entry.start);
          } else
            expect(collect(tree, start, start + length)).toEqual(
              collectNaively(entries, start, start + length),
            );
          expect(tree.size).toBe(entries.length);
        }
        expect(collect(tree, 0, Number.MAX_SAFE_INTEGER)).toEqual(
          collectNaively(entries, 0, Number.MAX_SAFE_INTEGER),
        );
      }),
      { numRuns: 300 },
    );
  });

  test("finds items by either end, and not those that end just before or begin just after", () => {
    const tree = new IntervalTree<IntervalItem>();
    tree.insert({ id: 1 }, 10, 19);
    expect([collect(tree, 0, 9), collect(tree, 20, 30)]).toEqual([[], []]);
    expect([collect(tree, 0, 10), collect(tree, 19, 30), collect(tree, 12, 12)]).toEqual([[1], [1], [1]]);
  });

  test("appends: what was found before stays", () => {
    const tree = new IntervalTree<IntervalItem>();
    const item = { id: 1 };
    tree.insert(item, 0, 0);
    const found: IntervalItem[] = [{ id: 9 }];
    tree.collect(0, 0, found);
    expect(found.map(({ id }) => id)).toEqual([9, 1]);
  });

  test.each([
    ["that is not in it", 2, 10],
    ["at another start", 1, 11],
  ])("refuses to remove an item %s, and is as before", (_, id, start) => {
    const tree = new IntervalTree<IntervalItem>();
    tree.insert({ id: 1 }, 10, 20);
    expect(() => tree.remove({ id }, start)).toThrow(`interval tree: item ${id} at ${start} is not in it`);
    expect([tree.size, collect(tree, 10, 10)]).toEqual([1, [1]]);
  });

  test.each([
    ["rising", (i: number) => i],
    ["falling", (i: number, n: number) => n - i],
    ["equal", () => 5],
  ])("stays shallow over 20,000 items of %s starts", (_, startOf) => {
    const n = 20_000;
    const tree = new IntervalTree<IntervalItem>();
    let looks = 0;
    const items = Array.from({ length: n }, (_, i) => ({
      get id() {
        looks++;
        return i + 1;
      },
    }));
    items.forEach((item, i) => {
      tree.insert(item, startOf(i, n), startOf(i, n));
    });
    // Two looks a level: the new item's and the one's that it is compared with.
    expect(looks / n / 2).toBeLessThan(4 * Math.log2(n));
    looks = 0;
    items.forEach((item, i) => {
      tree.remove(item, startOf(i, n));
    });
    expect(looks / n / 2).toBeLessThan(4 * Math.log2(n));
    expect(tree.size).toBe(0);
  });
});
