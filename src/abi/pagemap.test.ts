import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bitsFrom, expectLayout, highWord } from "../../test/support/bit-fields.ts";
import { recordedLines } from "../../test/support/trace-fixtures.ts";
import * as pm from "./pagemap.ts";

const FRAME = bitsFrom(54, 0);

const anyFlags = { file: fc.boolean(), guard: fc.boolean(), uffdWp: fc.boolean(), softDirty: fc.boolean() };
const presentEntry = fc.record({
  ...anyFlags,
  present: fc.constant(true),
  swap: fc.constant(false),
  exclusive: fc.boolean(),
  pfn: fc.bigInt({ min: 0n, max: FRAME }),
  swapType: fc.constant(0),
  swapOffset: fc.constant(0n),
});
const swapEntry = fc.record({
  ...anyFlags,
  present: fc.constant(false),
  swap: fc.constant(true),
  exclusive: fc.boolean(),
  pfn: fc.constant(0n),
  swapType: fc.integer({ min: 0, max: 31 }),
  swapOffset: fc.bigInt({ min: 0n, max: bitsFrom(49, 0) }),
});
const noneEntry = fc.record({
  ...anyFlags,
  present: fc.constant(false),
  swap: fc.constant(false),
  exclusive: fc.boolean(),
  pfn: fc.constant(0n),
  swapType: fc.constant(0),
  swapOffset: fc.constant(0n),
});

const low = (word: bigint): number => Number(word & 0xffff_ffffn);
const high = (word: bigint): number => Number(word >> 32n);

describe("a pagemap entry", () => {
  test("is laid out as it is drawn", () => {
    expectLayout(64, [
      { name: "frame", high: 54, low: 0, mask: highWord(pm.PM_HI_FRAME_MASK) | 0xffff_ffffn },
      { name: "soft-dirty", high: 55, low: 55, mask: highWord(pm.PM_HI_SOFT_DIRTY) },
      { name: "exclusive", high: 56, low: 56, mask: highWord(pm.PM_HI_MMAP_EXCLUSIVE) },
      { name: "uffd-wp", high: 57, low: 57, mask: highWord(pm.PM_HI_UFFD_WP) },
      { name: "guard", high: 58, low: 58, mask: highWord(pm.PM_HI_GUARD_REGION) },
      { name: "0", high: 60, low: 59 },
      { name: "file", high: 61, low: 61, mask: highWord(pm.PM_HI_FILE) },
      { name: "swap", high: 62, low: 62, mask: highWord(pm.PM_HI_SWAP) },
      { name: "present", high: 63, low: 63, mask: highWord(pm.PM_HI_PRESENT) },
    ]);
    expectLayout(55, [
      { name: "swap type", high: pm.PM_SWAP_TYPE_BITS - 1, low: 0 },
      { name: "swap offset", high: 54, low: 5 },
    ]);
  });

  test("is the same after encoding and decoding", () => {
    fc.assert(
      fc.property(fc.oneof(presentEntry, swapEntry, noneEntry), (entry) => {
        const word = pm.encodePagemapEntry(entry);
        expect(word >> 64n).toBe(0n);
        expect(pm.decodePagemapEntry(low(word), high(word))).toEqual(entry);
      }),
    );
  });

  test("tells bits 55 to 63 without the frame", () => {
    fc.assert(
      fc.property(fc.oneof(presentEntry, swapEntry), (entry) => {
        const word = pm.encodePagemapEntry(entry);
        expect(pm.pagemapFlags(high(word))).toBe(Number(word >> 55n));
      }),
    );
  });

  test("is decoded from signed words too, as typed arrays never give them but arithmetic does", () => {
    const word = (1n << 63n) | FRAME;
    expect(pm.decodePagemapEntry(-1, high(word) | 0).pfn).toBe(FRAME);
  });

  test("shows no frame number and no swap offset to a reader without the right, and is decoded all the same", () => {
    expect(pm.decodePagemapEntry(0, pm.PM_HI_PRESENT | pm.PM_HI_FILE)).toMatchObject({
      present: true,
      file: true,
      pfn: 0n,
    });
  });
});

/** What the traces' own documentation says of the recorded numbers: bit n of it is bit 55 + n of the entry. */
const RECORDED_BITS = [
  [0, "softDirty"],
  [1, "exclusive"],
  [2, "uffdWp"],
  [3, "guard"],
  [6, "file"],
  [7, "swap"],
  [8, "present"],
] as const;

/** All pages' entries that occur in the traces, each once. */
function recordedEntries(): string[] {
  const entries = new Set<string>();
  for (const { text } of recordedLines())
    for (const [, strings] of text.matchAll(/"v\d+":\[([^\]]*)\]/g))
      for (const [, entry] of strings.matchAll(/"([^"]*)"/g)) entries.add(entry);
  return [...entries].filter((entry) => entry !== "-").sort();
}

describe("the recorded entries", () => {
  const entries = recordedEntries();

  test("are many and different", () => {
    expect(entries).toEqual(expect.arrayContaining(["0", "1", "80", "81", "84", "85", "100", "143", "147"]));
    expect(entries).toEqual(expect.arrayContaining(["81:30.2", "85:30.1", "84:31.1"]));
    expect(entries.length).toBeGreaterThan(25);
  });

  test.each(entries)("%s means what its bits say, and comes back the same", (recorded) => {
    const [hex, marker] = recorded.split(":");
    const flags = Number.parseInt(hex, 16);
    const [type, offset] =
      marker === undefined ? [0, 0n] : [Number(marker.split(".")[0]), BigInt(marker.split(".")[1])];
    const word = (BigInt(flags) << 55n) | (offset << 5n) | BigInt(type);
    const entry = pm.decodePagemapEntry(low(word), high(word));
    for (const [bit, name] of RECORDED_BITS) expect(entry[name], name).toBe((flags & (1 << bit)) !== 0);
    expect([entry.swapType, entry.swapOffset]).toEqual([type, offset]);
    expect(pm.encodePagemapEntry(entry)).toBe(word);
    expect(pm.pagemapFlags(high(word)).toString(16)).toBe(hex);
    expect(entry.present && entry.swap).toBe(false);
  });
});
