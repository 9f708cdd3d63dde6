import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { expectLayout, lowWord } from "../../test/support/bit-fields.ts";
import { iowr } from "../../test/support/ioctl.ts";
import * as scan from "./pagemap-scan.ts";

const U64_MAX = 2n ** 64n - 1n;
const anyU64 = fc.bigInt({ min: 0n, max: U64_MAX });
const anyCategories = fc.integer({ min: 0, max: 0x1ff });

const anyArg = fc.record({
  flags: fc.integer({ min: 0, max: 3 }),
  start: anyU64,
  end: anyU64,
  walkEnd: anyU64,
  vec: anyU64,
  vecLen: anyU64,
  maxPages: anyU64,
  categoryInverted: anyCategories,
  categoryMask: anyCategories,
  categoryAnyofMask: anyCategories,
  returnMask: anyCategories,
});

test("the request's number is that of the header's definition", () => {
  expect(scan.PAGEMAP_SCAN).toBe(iowr("f".charCodeAt(0), 16, scan.PM_SCAN_ARG_BYTES));
});

test("page categories are nine bits, in the header's order", () => {
  expectLayout(9, [
    { name: "WPALLOWED", high: 0, low: 0, mask: lowWord(scan.PAGE_IS_WPALLOWED) },
    { name: "WRITTEN", high: 1, low: 1, mask: lowWord(scan.PAGE_IS_WRITTEN) },
    { name: "FILE", high: 2, low: 2, mask: lowWord(scan.PAGE_IS_FILE) },
    { name: "PRESENT", high: 3, low: 3, mask: lowWord(scan.PAGE_IS_PRESENT) },
    { name: "SWAPPED", high: 4, low: 4, mask: lowWord(scan.PAGE_IS_SWAPPED) },
    { name: "PFNZERO", high: 5, low: 5, mask: lowWord(scan.PAGE_IS_PFNZERO) },
    { name: "HUGE", high: 6, low: 6, mask: lowWord(scan.PAGE_IS_HUGE) },
    { name: "SOFT_DIRTY", high: 7, low: 7, mask: lowWord(scan.PAGE_IS_SOFT_DIRTY) },
    { name: "GUARD", high: 8, low: 8, mask: lowWord(scan.PAGE_IS_GUARD) },
  ]);
});

test("the flags are two bits", () => {
  expectLayout(2, [
    { name: "WP_MATCHING", high: 0, low: 0, mask: lowWord(scan.PM_SCAN_WP_MATCHING) },
    { name: "CHECK_WPASYNC", high: 1, low: 1, mask: lowWord(scan.PM_SCAN_CHECK_WPASYNC) },
  ]);
});

describe("struct pm_scan_arg", () => {
  test("has its fields in the header's order, its own size first", () => {
    const words = scan.encodePmScanArg({
      flags: 1,
      start: 2n,
      end: 3n,
      walkEnd: 4n,
      vec: 5n,
      vecLen: 6n,
      maxPages: 7n,
      categoryInverted: 8,
      categoryMask: 9,
      categoryAnyofMask: 10,
      returnMask: 11,
    });
    expect([...words]).toEqual([96n, 1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n, 10n, 11n]);
    expect(words.byteLength).toBe(scan.PM_SCAN_ARG_BYTES);
  });

  test("is the same after encoding and decoding", () => {
    fc.assert(
      fc.property(anyArg, (arg) => {
        expect(scan.decodePmScanArg(scan.encodePmScanArg(arg))).toEqual(arg);
      }),
    );
  });

  test.each([
    [new BigUint64Array(12), "pm_scan_arg: 12 words, size 0; must be 12 and 96"],
    [BigUint64Array.of(96n, 0n), "pm_scan_arg: 2 words, size 96; must be 12 and 96"],
    [new BigUint64Array(13).fill(96n), "pm_scan_arg: 13 words, size 96; must be 12 and 96"],
  ])("of another size is refused", (words, message) => {
    expect(() => scan.decodePmScanArg(words)).toThrow(new RangeError(message));
  });
});

describe("struct page_region", () => {
  test("is start, end, categories", () => {
    const words = scan.encodePageRegion({ start: 0x1000n, end: 0x3000n, categories: scan.PAGE_IS_SWAPPED });
    expect([...words]).toEqual([0x1000n, 0x3000n, 16n]);
    expect(words.byteLength).toBe(scan.PAGE_REGION_BYTES);
  });

  test("is read from any place in a vector", () => {
    const region = fc.record({ start: anyU64, end: anyU64, categories: anyCategories });
    fc.assert(
      fc.property(fc.array(region, { minLength: 1, maxLength: 8 }), (regions) => {
        const vector = new BigUint64Array(regions.flatMap((one) => [...scan.encodePageRegion(one)]));
        expect(regions.map((_, index) => scan.decodePageRegion(vector, index))).toEqual(regions);
      }),
    );
  });
});
