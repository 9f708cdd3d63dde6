/**
 * PTE markers: entries in swap form whose type is the marker type and whose offset is a set of bits. They map
 * nothing, hold no reference, and carry information across a zap or a page-out.
 *
 * The bits differ between kernels. Sources: `include/linux/swapops.h` of 6.1 (bit 0 uffd-wp) and of 6.13 and later
 * (bit 0 uffd-wp, bit 1 poisoned, bit 2 guard); the RFC "mm: Enable PM_SWAP for shmem with PTE_MARKER"
 * (2021-08, on 5.14-rc4: bit 0 page-out) and its port to 6.1 (bit 0 uffd-wp, bit 1 page-out).
 */

import { isSwapPte, swapPteHi, swapPteLo, swapPteOffset, swapPteType } from "./pte.ts";

/** The kinds of marker, as sets of our own: a {@link MarkerLayout} gives a kernel's bits for them. */
export interface MarkerLayout {
  /** The swap type of a marker. */
  readonly type: number;
  /** The bit of each kind in the offset; 0 where the kernel doesn't have the kind. */
  readonly UFFD_WP: number;
  readonly PAGEOUT: number;
  readonly POISONED: number;
  readonly GUARD: number;
}

export const PTE_MARKER_BITS = {
  /** The RFC as it was posted. */
  "rfc-5.14": { UFFD_WP: 0, PAGEOUT: 1, POISONED: 0, GUARD: 0 },
  /** The RFC's mechanism on 6.1. */
  "rfc-6.1": { UFFD_WP: 1, PAGEOUT: 2, POISONED: 0, GUARD: 0 },
  "linux-6.1": { UFFD_WP: 1, PAGEOUT: 0, POISONED: 0, GUARD: 0 },
  "linux-6.18": { UFFD_WP: 1, PAGEOUT: 0, POISONED: 2, GUARD: 4 },
} as const;

export function markerPteLo(bits: number): number {
  return swapPteLo(bits, 0);
}

export function markerPteHi(layout: MarkerLayout, bits: number): number {
  return swapPteHi(layout.type, bits);
}

export function isMarkerPte(layout: MarkerLayout, lo: number, hi: number): boolean {
  return isSwapPte(lo, hi) && swapPteType(hi) === layout.type;
}

/** The marker's bits. The entry must be a marker. */
export function markerBits(lo: number, hi: number): number {
  return swapPteOffset(lo, hi);
}
