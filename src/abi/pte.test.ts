import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bitsFrom, expectLayout, highWord, lowWord } from "../../test/support/bit-fields.ts";
import * as pte from "./pte.ts";

const PFNS = 2 ** 40;
const OFFSETS = 2 ** 50;

const anyWord = fc.integer({ min: 0, max: 0xffff_ffff });
const anyPfn = fc.oneof(
  fc.integer({ min: 0, max: PFNS - 1 }),
  fc.constantFrom(0, 1, 2 ** 20 - 1, 2 ** 20, 2 ** 31, 2 ** 32, PFNS - 1),
);
const anyType = fc.integer({ min: 0, max: 31 });
const anyOffset = fc.oneof(
  fc.integer({ min: 0, max: OFFSETS - 1 }),
  fc.constantFrom(0, 1, 2 ** 23 - 1, 2 ** 23, 2 ** 31, 2 ** 32, OFFSETS - 1),
);
const swapFlags = fc
  .tuple(fc.boolean(), fc.boolean(), fc.boolean())
  .map(
    ([softDirty, uffdWp, exclusive]) =>
      (softDirty ? pte.PTE_SWP_SOFT_DIRTY : 0) |
      (uffdWp ? pte.PTE_SWP_UFFD_WP : 0) |
      (exclusive ? pte.PTE_SWP_EXCLUSIVE : 0),
  );

/** The whole entry, as a reference made another way: with one 64-bit number. */
const wordOf = (lo: number, hi: number): bigint => (BigInt(hi) << 32n) | BigInt(lo);

describe("the present form", () => {
  test("is laid out as it is drawn", () => {
    expectLayout(64, [
      { name: "P", high: 0, low: 0, mask: lowWord(pte.PTE_PRESENT) },
      { name: "RW", high: 1, low: 1, mask: lowWord(pte.PTE_RW) },
      { name: "U", high: 2, low: 2, mask: lowWord(pte.PTE_USER) },
      { name: "PWT", high: 3, low: 3, mask: lowWord(pte.PTE_PWT) },
      { name: "PCD", high: 4, low: 4, mask: lowWord(pte.PTE_PCD) },
      { name: "A", high: 5, low: 5, mask: lowWord(pte.PTE_ACCESSED) },
      { name: "D", high: 6, low: 6, mask: lowWord(pte.PTE_DIRTY) },
      { name: "PAT", high: 7, low: 7, mask: lowWord(pte.PTE_PAT) },
      { name: "G", high: 8, low: 8, mask: lowWord(pte.PTE_GLOBAL) },
      { name: "SP", high: 9, low: 9, mask: lowWord(pte.PTE_SPECIAL) },
      { name: "UWP", high: 10, low: 10, mask: lowWord(pte.PTE_UFFD_WP) },
      { name: "SD", high: 11, low: 11, mask: lowWord(pte.PTE_SOFT_DIRTY) },
      {
        name: "PFN",
        high: 51,
        low: 12,
        mask: lowWord(pte.PTE_PFN_LO_MASK) | highWord(pte.PTE_PFN_HI_MASK),
      },
      { name: "unused", high: 62, low: 52 },
      { name: "NX", high: 63, low: 63, mask: highWord(pte.PTE_HI_NX) },
    ]);
  });

  test("keeps the frame number beside any flags", () => {
    fc.assert(
      fc.property(
        anyPfn,
        fc.integer({ min: 0, max: 0xfff }),
        fc.constantFrom(0, pte.PTE_HI_NX),
        (pfn, flags, nx) => {
          const lo = pte.pteLo(pfn, flags);
          const hi = pte.pteHi(pfn, nx);
          expect(pte.ptePfn(lo, hi)).toBe(pfn);
          expect(wordOf(lo, hi)).toBe((BigInt(pfn) << 12n) | BigInt(flags) | highWord(nx));
          expect(pte.pteToBigInt(lo, hi)).toBe(wordOf(lo, hi));
        },
      ),
    );
  });

  test("of a page that may be executed by nobody has bit 63", () => {
    expect(pte.pteToBigInt(pte.pteLo(0, 0), pte.pteHi(0, pte.PTE_HI_NX))).toBe(1n << 63n);
  });

  test("as the kernel would write it: frame 0x12345, a writable user page that was written", () => {
    const flags = pte.PTE_PRESENT | pte.PTE_RW | pte.PTE_USER | pte.PTE_ACCESSED | pte.PTE_DIRTY;
    expect(pte.pteToBigInt(pte.pteLo(0x12345, flags), pte.pteHi(0x12345, pte.PTE_HI_NX))).toBe(
      0x8000_0000_1234_5067n,
    );
  });
});

describe("the swap form", () => {
  test("is laid out as it is drawn", () => {
    expectLayout(64, [
      { name: "P", high: 0, low: 0, mask: lowWord(pte.PTE_PRESENT) },
      { name: "SD", high: 1, low: 1, mask: lowWord(pte.PTE_SWP_SOFT_DIRTY) },
      { name: "UWP", high: 2, low: 2, mask: lowWord(pte.PTE_SWP_UFFD_WP) },
      { name: "E", high: 3, low: 3, mask: lowWord(pte.PTE_SWP_EXCLUSIVE) },
      { name: "unused", high: 7, low: 4 },
      { name: "PROT_NONE", high: 8, low: 8, mask: lowWord(pte.PTE_GLOBAL) },
      {
        name: "offset",
        high: 58,
        low: 9,
        mask: ((1n << BigInt(pte.PTE_SWP_OFFSET_BITS)) - 1n) << BigInt(pte.PTE_SWP_OFFSET_SHIFT),
      },
      { name: "type", high: 63, low: 59, mask: highWord(31 << pte.PTE_SWP_TYPE_SHIFT_HI) },
    ]);
  });

  test("keeps type, offset and flags apart, the offset inverted", () => {
    fc.assert(
      fc.property(anyType, anyOffset, swapFlags, (type, offset, flags) => {
        const lo = pte.swapPteLo(offset, flags);
        const hi = pte.swapPteHi(type, offset);
        expect(pte.swapPteType(hi)).toBe(type);
        expect(pte.swapPteOffset(lo, hi)).toBe(offset);
        const inverted = ~BigInt(offset) & bitsFrom(49, 0);
        expect(wordOf(lo, hi)).toBe((BigInt(type) << 59n) | (inverted << 9n) | BigInt(flags));
        expect(pte.swapPteWithoutFlags(lo)).toBe(pte.swapPteLo(offset, 0));
      }),
    );
  });

  test.each([
    // Slot 1 of the first swap area: every offset bit but the lowest is set.
    [0, 1, 0, 0x07ff_ffff_ffff_fc00n],
    // The marker of 6.18 for userfaultfd write-protection: type 31, offset 1.
    [31, 1, 0, 0xffff_ffff_ffff_fc00n],
    // The RFC's PAGEOUT marker on 6.1: type 30, offset 2, soft-dirty.
    [30, 2, pte.PTE_SWP_SOFT_DIRTY, 0xf7ff_ffff_ffff_fa02n],
    [1, 2 ** 50 - 1, pte.PTE_SWP_EXCLUSIVE | pte.PTE_SWP_UFFD_WP, 0x0800_0000_0000_000cn],
  ])("of type %i, offset %i, flags %i is the kernel's word", (type, offset, flags, word) => {
    expect(pte.pteToBigInt(pte.swapPteLo(offset, flags), pte.swapPteHi(type, offset))).toBe(word);
  });
});

describe("an entry", () => {
  test("is none, present or in swap form, and never two of them", () => {
    fc.assert(
      fc.property(anyWord, anyWord, (lo, hi) => {
        const is = [pte.isPteNone(lo, hi), pte.isPtePresent(lo), pte.isSwapPte(lo, hi)];
        expect(is.filter(Boolean)).toHaveLength(1);
      }),
    );
  });

  test.each([
    ["empty", 0, 0, "none"],
    ["of a present page", pte.PTE_PRESENT, 0, "present"],
    ["of a page that PROT_NONE hides", pte.PTE_GLOBAL | pte.PTE_ACCESSED, 0, "present"],
    ["of swap type 0, offset 2^50 - 1", pte.swapPteLo(2 ** 50 - 1, 0), pte.swapPteHi(0, 2 ** 50 - 1), "none"],
    ["of swap type 0, offset 1", pte.swapPteLo(1, 0), pte.swapPteHi(0, 1), "swap"],
  ])("%s is what it should be", (_, lo, hi, what) => {
    const is = pte.isPteNone(lo, hi) ? "none" : pte.isPtePresent(lo) ? "present" : "swap";
    expect(is).toBe(what);
  });

  test("in swap form is never taken for present, whatever its type, offset and flags", () => {
    fc.assert(
      fc.property(anyType, anyOffset, swapFlags, (type, offset, flags) => {
        const lo = pte.swapPteLo(offset, flags);
        const hi = pte.swapPteHi(type, offset);
        fc.pre((lo | hi) !== 0);
        expect(pte.isSwapPte(lo, hi)).toBe(true);
      }),
    );
  });
});

test("a change of protection keeps the frame and what was seen of the page, and drops the rights", () => {
  const kept = pte.PTE_CHANGE_MASK_LO;
  const rights = pte.PTE_PRESENT | pte.PTE_RW | pte.PTE_USER | pte.PTE_GLOBAL;
  expect(kept & rights).toBe(0);
  const seen = pte.PTE_ACCESSED | pte.PTE_DIRTY | pte.PTE_SOFT_DIRTY | pte.PTE_UFFD_WP | pte.PTE_SPECIAL;
  expect(kept & seen).toBe(seen);
  expect((kept & pte.PTE_PFN_LO_MASK) >>> 0).toBe(pte.PTE_PFN_LO_MASK);
});
