import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { entryOffset, PageTablePool, PageTables, PTRS_PER_TABLE, tableEnd } from "./page-table.ts";
import { Work } from "./vmstat.ts";

/** 48 bits of address: more than user addresses have. */
const MAPPABLE_PAGES = 2 ** 36;
/** What a table of each lower level covers, from the PTE table up. */
const SPANS = [2 ** 9, 2 ** 18, 2 ** 27];

/** One address space as plain sets: the tables there are at each level, by number of the part they cover. */
class NaiveTables {
  readonly entries = new Map<number, readonly [lo: number, hi: number]>();
  readonly tables: readonly Set<number>[] = SPANS.map(() => new Set());

  ensure(vpn: number): void {
    SPANS.forEach((span, level) => {
      this.tables[level].add(Math.floor(vpn / span));
    });
  }

  has(vpn: number): boolean {
    return this.tables[0].has(Math.floor(vpn / SPANS[0]));
  }

  free(start: number, end: number): void {
    SPANS.forEach((span, level) => {
      for (const part of [...this.tables[level]])
        if (part * span >= start && (part + 1) * span <= end) this.tables[level].delete(part);
    });
  }

  nextWithTable(vpn: number, end: number): number {
    if (vpn >= end) return end;
    let next = end;
    for (const part of this.tables[0])
      if ((part + 1) * SPANS[0] > vpn) next = Math.min(next, Math.max(vpn, part * SPANS[0]));
    return next;
  }

  /** The top table included. */
  get count(): number {
    return this.tables.reduce((sum, tables) => sum + tables.size, 1);
  }
}

/** Page numbers that are near each other at one level or another, or anywhere. */
const anyVpn = fc.oneof(
  fc.integer({ min: 0, max: 2 ** 35 - 1 }),
  fc
    .tuple(
      fc.constantFrom(0, 2 ** 9, 2 ** 18, 2 ** 27, 2 ** 34, MAPPABLE_PAGES - 2 ** 19),
      fc.nat(2 ** 19 - 1),
    )
    .map(([base, offset]) => base + offset),
  fc.tuple(fc.constantFrom(2 ** 18, 2 ** 27, 2 ** 30), fc.nat(3)).map(([base, offset]) => base + offset - 2),
);
const anySize = fc.oneof(
  fc.constantFrom(1, ...SPANS, ...SPANS.map((span) => span * 3), MAPPABLE_PAGES),
  fc.integer({ min: 1, max: 2 ** 20 }),
  fc.integer({ min: 1, max: 2 ** 30 }),
);

type Command =
  | { readonly kind: "write"; readonly vpn: number; readonly lo: number; readonly hi: number }
  | { readonly kind: "free" | "skip"; readonly vpn: number; readonly sizePages: number }
  | { readonly kind: "find"; readonly vpn: number };

const anyCommand: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("write" as const),
      vpn: anyVpn,
      lo: fc.integer({ min: 1, max: 0xffff_ffff }),
      hi: fc.integer({ min: 0, max: 0xffff_ffff }),
    }),
  },
  fc.record({ kind: fc.constantFrom("free" as const, "skip" as const), vpn: anyVpn, sizePages: anySize }),
  fc.record({ kind: fc.constant("find" as const), vpn: anyVpn }),
);

function read(tables: PageTables, vpn: number): [number, number] {
  const table = tables.find(vpn);
  if (table === 0) return [0, 0];
  const chunk = tables.pool.chunkOf(table);
  const i = entryOffset(table, vpn);
  return [chunk[i], chunk[i + 1]];
}

function write(tables: PageTables, vpn: number, lo: number, hi: number): void {
  const table = tables.ensure(vpn);
  tables.pool.write(tables.pool.chunkOf(table), entryOffset(table, vpn), lo, hi);
}

/** Zaps the range first, as `freeTables` asks. */
function zapAndFree(tables: PageTables, naive: NaiveTables, start: number, end: number): void {
  for (const vpn of [...naive.entries.keys()])
    if (vpn >= start && vpn < end) {
      write(tables, vpn, 0, 0);
      naive.entries.delete(vpn);
    }
  tables.freeTables(start, end);
  naive.free(start, end);
}

function run(command: Command, tables: PageTables, naive: NaiveTables): void {
  const { vpn } = command;
  switch (command.kind) {
    case "write":
      write(tables, vpn, command.lo, command.hi);
      naive.ensure(vpn);
      naive.entries.set(vpn, [command.lo, command.hi]);
      return;
    case "find":
      expect(tables.find(vpn) !== 0, `a table for ${vpn}`).toBe(naive.has(vpn));
      return;
    case "free":
      zapAndFree(tables, naive, vpn, Math.min(MAPPABLE_PAGES, vpn + command.sizePages));
      return;
    case "skip": {
      const end = Math.min(MAPPABLE_PAGES, vpn + command.sizePages);
      expect(tables.skipToTable(vpn, end), `from ${vpn} to ${end}`).toBe(naive.nextWithTable(vpn, end));
    }
  }
}

describe("page tables", () => {
  test("do, over any operations on two address spaces, what maps do; and no table is lost", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(1), anyCommand), { maxLength: 50, size: "max" }), (commands) => {
        const pool = new PageTablePool(new Work());
        const spaces = [0, 1].map(() => ({ tables: new PageTables(pool), naive: new NaiveTables() }));
        for (const [space, command] of commands) {
          run(command, spaces[space].tables, spaces[space].naive);
          expect(pool.inUse).toBe(spaces[0].naive.count + spaces[1].naive.count);
        }
        for (const { tables, naive } of spaces)
          for (const [vpn, entry] of naive.entries) expect(read(tables, vpn), `entry ${vpn}`).toEqual(entry);
        spaces[0].tables.destroy();
        for (const [vpn, entry] of spaces[1].naive.entries)
          expect(read(spaces[1].tables, vpn)).toEqual(entry);
        expect(pool.inUse).toBe(spaces[1].naive.count);
        spaces[1].tables.destroy();
        expect(pool.inUse).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  test("that are made are empty, even from tables that were full", () => {
    const pool = new PageTablePool(new Work());
    const tables = new PageTables(pool);
    for (let vpn = 0; vpn < PTRS_PER_TABLE; vpn++) write(tables, vpn, 0xffff_ffff, 0xffff_ffff);
    tables.freeTables(0, PTRS_PER_TABLE);
    const again = tables.ensure(2 ** 30);
    const chunk = pool.chunkOf(again);
    const base = entryOffset(again, 0);
    expect(new Set(chunk.subarray(base, base + PTRS_PER_TABLE * 2))).toEqual(new Set([0]));
  });

  test("are four levels: one page takes three besides the top, its neighbours none", () => {
    const work = new Work();
    const pool = new PageTablePool(work);
    const tables = new PageTables(pool);
    expect(pool.inUse).toBe(1);
    tables.ensure(2 ** 30);
    expect(pool.inUse).toBe(4);
    for (let vpn = 2 ** 30; vpn < 2 ** 30 + PTRS_PER_TABLE; vpn++) tables.ensure(vpn);
    expect([pool.inUse, work.pageTables]).toEqual([4, 4]);
    tables.ensure(2 ** 30 + PTRS_PER_TABLE);
    expect(pool.inUse).toBe(5);
  });

  test("cost nothing where nothing is: looking makes none", () => {
    const pool = new PageTablePool(new Work());
    const tables = new PageTables(pool);
    expect(tables.find(12345)).toBe(0);
    expect(tables.skipToTable(0, MAPPABLE_PAGES)).toBe(MAPPABLE_PAGES);
    tables.freeTables(0, MAPPABLE_PAGES);
    expect(pool.inUse).toBe(1);
  });

  test("keep the table of a part that is only partly freed", () => {
    const pool = new PageTablePool(new Work());
    const tables = new PageTables(pool);
    write(tables, 10, 1, 2);
    write(tables, 600, 3, 4);
    tables.freeTables(11, 1024);
    expect(read(tables, 10)).toEqual([1, 2]);
    expect(tables.find(600)).toBe(0);
  });
});

describe("an entry", () => {
  test("is where its page number says: 512 a table, two words each, tables apart", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), anyVpn, anyVpn, (table, a, b) => {
        const [i, j] = [entryOffset(table, a), entryOffset(table, b)];
        expect(i % 2).toBe(0);
        expect(i === j).toBe(a % 512 === b % 512);
        expect(entryOffset(table, 511) - entryOffset(table, 0)).toBe(1022);
      }),
    );
  });

  test("of the last page of a table is one before where the table ends", () => {
    expect([tableEnd(0), tableEnd(511), tableEnd(512), tableEnd(2 ** 35 + 5)]).toEqual([
      512,
      512,
      1024,
      2 ** 35 + 512,
    ]);
  });

  test("changes the version of its table when it is written, and of no other", () => {
    const work = new Work();
    const pool = new PageTablePool(work);
    const tables = new PageTables(pool);
    const all = Array.from({ length: 40 }, (_, i) => tables.ensure(i * 512));
    const versions = (): number[] => all.map((table) => pool.version(table));
    const before = versions();
    write(tables, 17 * 512 + 511, 1, 0);
    expect(work.pteWrites).toBe(1);
    expect(versions().map((version, i) => version !== before[i])).toEqual(all.map((_, i) => i === 17));
    expect(read(tables, 17 * 512 + 511)).toEqual([1, 0]);
  });

  test("of a table that was freed and taken again has another version", () => {
    const pool = new PageTablePool(new Work());
    const tables = new PageTables(pool);
    const table = tables.ensure(0);
    const before = pool.version(table);
    tables.freeTables(0, 512);
    expect(tables.ensure(0)).toBe(table);
    expect(pool.version(table)).not.toBe(before);
  });
});

test("memory grows with the tables in use, and is used again", () => {
  const pool = new PageTablePool(new Work());
  const tables = new PageTables(pool);
  for (let i = 0; i < 100; i++) tables.ensure(i * 512);
  const bytes = pool.allocatedBytes;
  expect(bytes).toBeGreaterThanOrEqual(103 * 4096);
  expect(bytes).toBeLessThan(2 * 103 * 4096);
  for (let round = 0; round < 3; round++) {
    tables.freeTables(0, 100 * 512);
    for (let i = 0; i < 100; i++) tables.ensure(2 ** 27 + i * 512);
    tables.freeTables(2 ** 27, 2 ** 28);
  }
  expect(pool.allocatedBytes).toBeLessThanOrEqual(bytes + 70_000);
});
