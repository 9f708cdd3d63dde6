import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bitsFrom, expectLayout } from "../../test/support/bit-fields.ts";
import {
  layOutSwapTypes,
  MAX_SWAPFILES_FEWEST,
  MAX_SWAPFILES_SHIFT,
  SWP_OFFSET_MASK,
  SWP_TYPE_SHIFT,
  type SwapTypeConfig,
  swpEntry,
  swpOffset,
  swpType,
} from "./swap-entry.ts";

const anyType = fc.integer({ min: 0, max: 31 });
const anyOffset = fc.bigInt({ min: 0n, max: bitsFrom(57, 0) });

describe("swp_entry_t", () => {
  test("is laid out as it is drawn", () => {
    expectLayout(64, [
      { name: "offset", high: 57, low: 0, mask: SWP_OFFSET_MASK },
      {
        name: "type",
        high: 62,
        low: 58,
        mask: bitsFrom(MAX_SWAPFILES_SHIFT - 1, 0) << BigInt(SWP_TYPE_SHIFT),
      },
      { name: "0", high: 63, low: 63 },
    ]);
  });

  test("keeps type and offset apart", () => {
    fc.assert(
      fc.property(anyType, anyOffset, (type, offset) => {
        const entry = swpEntry(type, offset);
        expect(swpType(entry)).toBe(type);
        expect(swpOffset(entry)).toBe(offset);
        expect(entry).toBe(BigInt(type) * 2n ** 58n + offset);
      }),
    );
  });

  test.each([
    [-1, 0n, "swap type -1: must be an integer from 0 to 31"],
    [32, 0n, "swap type 32: must be an integer from 0 to 31"],
    [1.5, 0n, "swap type 1.5: must be an integer from 0 to 31"],
    [0, -1n, "swap offset -1: must be from 0 to 2^58 - 1"],
    [0, 2n ** 58n, "swap offset 288230376151711744: must be from 0 to 2^58 - 1"],
  ])("refuses type %s, offset %s", (type, offset, message) => {
    expect(() => swpEntry(type, offset)).toThrow(new RangeError(message));
  });
});

describe("the reserved swap types", () => {
  const ALL: SwapTypeConfig = {
    MEMORY_FAILURE: true,
    MIGRATION: true,
    DEVICE_PRIVATE: true,
    PTE_MARKER: true,
    SWAPIN_ERROR: true,
  };
  const ORDER = [
    "hwpoison",
    "migrationRead",
    "migrationReadExclusive",
    "migrationWrite",
    "deviceWrite",
    "deviceRead",
    "deviceExclusiveWrite",
    "deviceExclusiveRead",
    "pteMarker",
    "swapinError",
  ] as const;

  test("of 6.1 with everything: markers are type 30, 22 areas can be", () => {
    expect(layOutSwapTypes(ALL)).toEqual({
      maxSwapfiles: 22,
      hwpoison: 22,
      migrationRead: 23,
      migrationReadExclusive: 24,
      migrationWrite: 25,
      deviceWrite: 26,
      deviceRead: 27,
      deviceExclusiveWrite: 28,
      deviceExclusiveRead: 29,
      pteMarker: 30,
      swapinError: 31,
    });
  });

  test("of 6.2 and later: markers are type 31, 23 areas can be", () => {
    const types = layOutSwapTypes({ ...ALL, SWAPIN_ERROR: false });
    expect([types.maxSwapfiles, types.pteMarker, types.swapinError]).toEqual([23, 31, undefined]);
  });

  test("of a kernel with none of them: 32 areas can be", () => {
    const none = Object.fromEntries(
      Object.keys(ALL).map((name) => [name, false]),
    ) as unknown as SwapTypeConfig;
    const { maxSwapfiles, ...reserved } = layOutSwapTypes(none);
    expect(maxSwapfiles).toBe(32);
    expect(Object.values(reserved).filter((type) => type !== undefined)).toEqual([]);
  });

  test("fill the types from the areas' up to 31, in the kernel's order, in every configuration", () => {
    for (let bits = 0; bits < 32; bits++) {
      const config = Object.fromEntries(
        Object.keys(ALL).map((name, i) => [name, (bits & (1 << i)) !== 0]),
      ) as unknown as SwapTypeConfig;
      const types = layOutSwapTypes(config);
      const taken = ORDER.map((name) => types[name]).filter((type) => type !== undefined);
      const expected = Array.from({ length: 32 - types.maxSwapfiles }, (_, i) => types.maxSwapfiles + i);
      expect(taken, JSON.stringify(config)).toEqual(expected);
      expect(types.maxSwapfiles).toBeGreaterThanOrEqual(MAX_SWAPFILES_FEWEST);
    }
    expect(layOutSwapTypes(ALL).maxSwapfiles).toBe(MAX_SWAPFILES_FEWEST);
  });
});
