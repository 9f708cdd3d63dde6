import fc from "fast-check";
import { expect, test } from "vitest";
import { encodePagemapEntry, type PagemapEntry, PM_HI_SWAP, PM_HI_UFFD_WP } from "../abi/index.ts";
import { ARMED, HOLE, MARKED, PRESENT, SWAPPED, UNKNOWN, WRITTEN } from "./page-state.ts";
import { ASK, classify, entryTable } from "./page-table-look.ts";
import type { EntryMeaning, Mapping, MappingKind } from "./target.ts";

const MARKER_TYPE = 31;
const ENTRIES: EntryMeaning = {
  swapTypesEnd: 22,
  markerType: MARKER_TYPE,
  markerFlags: PM_HI_SWAP | PM_HI_UFFD_WP,
};
const UNPRIVILEGED: EntryMeaning = { ...ENTRIES, swapTypesEnd: undefined, markerType: undefined };

const NONE: PagemapEntry = {
  present: false,
  swap: false,
  file: false,
  guard: false,
  uffdWp: false,
  exclusive: false,
  softDirty: false,
  pfn: 0n,
  swapType: 0,
  swapOffset: 0n,
};
const PLAIN: PagemapEntry = { ...NONE, present: true, pfn: 0x1234567n };
const PROTECTED: PagemapEntry = { ...PLAIN, uffdWp: true };
const IN_SWAP: PagemapEntry = { ...NONE, swap: true, swapType: 1, swapOffset: 77n };
const MARKER: PagemapEntry = { ...NONE, swap: true, uffdWp: true, swapType: MARKER_TYPE, swapOffset: 1n };
const POISON: PagemapEntry = { ...MARKER, uffdWp: false, swapOffset: 2n };
const GUARD: PagemapEntry = { ...MARKER, uffdWp: false, guard: true, swapOffset: 4n };
const MIGRATING: PagemapEntry = {
  ...NONE,
  swap: true,
  uffdWp: true,
  file: true,
  swapType: 29,
  swapOffset: 5n,
};

const ALL = [NONE, PLAIN, PROTECTED, IN_SWAP, MARKER, POISON, GUARD, MIGRATING];

function mapping(kind: MappingKind, shared: boolean, attached = false): Mapping {
  return { start: 0, end: 0, kind, shared, objectId: "", name: "", objectFirstPage: 0, attached };
}

function statesOf(all: readonly PagemapEntry[], meaning: EntryMeaning, of: Mapping): number[] {
  const words = new Uint32Array(BigUint64Array.from(all, encodePagemapEntry).buffer);
  const states = new Uint8Array(all.length + 2).fill(0xff);
  classify(entryTable(meaning, of), words, all.length, states, 1);
  expect([states[0], states[all.length + 1]]).toEqual([0xff, 0xff]); // only its own
  return [...states.subarray(1, -1)];
}

test("a shared mapping: what is not present is asked about, markers are told", () => {
  const [marked, present, armed] = [ASK | MARKED, PRESENT, PRESENT | ARMED];
  const shared = mapping("shmem", true);
  expect(statesOf(ALL, ENTRIES, shared)).toEqual([ASK, present, armed, ASK, marked, ASK, ASK, ASK]);
  // Without swap types, an armed page on its way elsewhere looks like a marker.
  const unprivileged = ALL.map((entry) =>
    entry.present ? entry : { ...entry, swapType: 0, swapOffset: 0n },
  );
  expect(statesOf(unprivileged, UNPRIVILEGED, shared)).toEqual([
    ...[ASK, present, armed, ASK, marked, ASK, ASK],
    marked,
  ]);
});

test("an attached mapping: what is present and not armed was written", () => {
  expect(statesOf([PLAIN, PROTECTED], ENTRIES, mapping("shmem", true, true))).toEqual([
    PRESENT | WRITTEN,
    PRESENT | ARMED,
  ]);
});

test("private memory: the page table knows all that is the process's own", () => {
  const anon = mapping("anon", false);
  const [present, armed] = [PRESENT, PRESENT | ARMED];
  expect(statesOf(ALL, ENTRIES, anon)).toEqual([
    ...[HOLE, present, armed, SWAPPED],
    HOLE | MARKED,
    HOLE, // poisoned: its content is lost
    HOLE, // a guard region
    UNKNOWN,
  ]);
  expect(statesOf([IN_SWAP, MARKER, MIGRATING], UNPRIVILEGED, anon)).toEqual([SWAPPED, UNKNOWN, UNKNOWN]);
});

test("a private mapping of an object: what it has no entry for is the object's to tell", () => {
  expect(statesOf([NONE, IN_SWAP, MARKER, GUARD], ENTRIES, mapping("file", false))).toEqual([
    ...[ASK, SWAPPED],
    ASK | MARKED,
    ASK,
  ]);
});

test("where nobody can be asked only what is present is known", () => {
  expect(statesOf([NONE, PLAIN, IN_SWAP], ENTRIES, mapping("special", false))).toEqual([
    UNKNOWN,
    PRESENT,
    UNKNOWN,
  ]);
});

test("any number of entries, and any frame number", () => {
  const table = mapping("shmem", true);
  for (let pages = 0; pages < 70; pages++) {
    const all = Array.from({ length: pages }, (_, i) =>
      i % 3 === 0 ? MARKER : { ...PLAIN, pfn: BigInt(i) },
    );
    expect(statesOf(all, ENTRIES, table)).toEqual(
      all.map(({ present }) => (present ? PRESENT : ASK | MARKED)),
    );
  }
});

test("runs of like entries, of any length and anywhere, are told as single ones are", () => {
  const run = fc.record({ entry: fc.nat(ALL.length - 1), pages: fc.integer({ min: 1, max: 40 }) });
  const anyMapping = fc.record({
    kind: fc.constantFrom<MappingKind>("shmem", "anon", "file"),
    shared: fc.boolean(),
    attached: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(run), anyMapping, fc.nat(9), (runs, { kind, shared, attached }, at) => {
      const entries = runs.flatMap(({ entry, pages }) => Array(pages).fill(ALL[entry]) as PagemapEntry[]);
      const of = mapping(kind, shared, attached);
      const single = new Map(ALL.map((entry) => [entry, statesOf([entry], ENTRIES, of)[0]]));
      // Frame numbers differ from page to page, and do not matter.
      const differing = entries.map((entry, i) =>
        entry.present ? { ...entry, pfn: BigInt(i * 7919) } : entry,
      );
      const words = new Uint32Array(BigUint64Array.from(differing, encodePagemapEntry).buffer);
      const states = new Uint8Array(at + entries.length + 1).fill(0xff);
      classify(entryTable(ENTRIES, of), words, entries.length, states, at);
      expect([...states.subarray(at, -1)]).toEqual(entries.map((entry) => single.get(entry)));
      expect(states.at(-1)).toBe(0xff);
    }),
  );
});
