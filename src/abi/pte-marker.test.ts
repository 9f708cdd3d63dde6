import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isSwapPte, PTE_PRESENT, PTE_SWP_SOFT_DIRTY, pteToBigInt, swapPteHi, swapPteLo } from "./pte.ts";
import {
  isMarkerPte,
  type MarkerLayout,
  markerBits,
  markerPteHi,
  markerPteLo,
  PTE_MARKER_BITS,
} from "./pte-marker.ts";

const KINDS = ["UFFD_WP", "PAGEOUT", "POISONED", "GUARD"] as const;
const LAYOUTS = Object.entries(PTE_MARKER_BITS);

function layout(name: keyof typeof PTE_MARKER_BITS, type: number): MarkerLayout {
  return { type, ...PTE_MARKER_BITS[name] };
}

describe.each(LAYOUTS)("the marker bits of %s", (_, bits) => {
  test("are one bit a kind, and no two kinds share one", () => {
    const had = KINDS.map((kind) => bits[kind]).filter((bit) => bit !== 0);
    for (const bit of had) expect(bit & (bit - 1)).toBe(0);
    expect(new Set(had).size).toBe(had.length);
    expect(had.length).toBeGreaterThan(0);
  });

  test("are the lowest of the offset, with no gap", () => {
    const all = KINDS.reduce((sum, kind) => sum | bits[kind], 0);
    expect(all & (all + 1)).toBe(0);
  });
});

describe("a marker", () => {
  test("is its type and bits, and nothing else", () => {
    fc.assert(
      fc.property(fc.integer({ min: 23, max: 31 }), fc.integer({ min: 1, max: 7 }), (type, bits) => {
        const markers = { ...layout("linux-6.18", type) };
        const lo = markerPteLo(bits);
        const hi = markerPteHi(markers, bits);
        expect(isMarkerPte(markers, lo, hi)).toBe(true);
        expect(markerBits(lo, hi)).toBe(bits);
        expect(isSwapPte(lo, hi)).toBe(true);
        expect(lo & 0x1ff).toBe(0);
      }),
    );
  });

  test("keeps its bits beside soft-dirty, which mremap sets on it", () => {
    const markers = layout("rfc-6.1", 30);
    const lo = markerPteLo(markers.PAGEOUT) | PTE_SWP_SOFT_DIRTY;
    const hi = markerPteHi(markers, markers.PAGEOUT);
    expect(isMarkerPte(markers, lo, hi)).toBe(true);
    expect(markerBits(lo, hi)).toBe(markers.PAGEOUT);
  });

  test("is not mistaken: swap entries, other reserved types, present and empty entries are none", () => {
    const markers = layout("linux-6.18", 31);
    for (let type = 0; type < 31; type++)
      expect(isMarkerPte(markers, swapPteLo(1, 0), swapPteHi(type, 1)), `type ${type}`).toBe(false);
    expect(isMarkerPte(markers, 0, 0)).toBe(false);
    const hi = markerPteHi(markers, markers.UFFD_WP);
    expect(isMarkerPte(markers, PTE_PRESENT, hi)).toBe(false);
  });

  test.each([
    ["the RFC's PAGEOUT on 6.1", layout("rfc-6.1", 30), "PAGEOUT", 0xf7ff_ffff_ffff_fa00n],
    ["uffd-wp on 6.1", layout("linux-6.1", 30), "UFFD_WP", 0xf7ff_ffff_ffff_fc00n],
    ["uffd-wp on 6.18", layout("linux-6.18", 31), "UFFD_WP", 0xffff_ffff_ffff_fc00n],
    ["poisoned on 6.18", layout("linux-6.18", 31), "POISONED", 0xffff_ffff_ffff_fa00n],
    ["guard on 6.18", layout("linux-6.18", 31), "GUARD", 0xffff_ffff_ffff_f600n],
  ] as const)("%s is the kernel's word", (_, markers, kind, word) => {
    const bits = markers[kind];
    expect(pteToBigInt(markerPteLo(bits), markerPteHi(markers, bits))).toBe(word);
  });
});
