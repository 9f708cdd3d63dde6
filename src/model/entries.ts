/** What a PTE in swap form is: a marker, or a swap entry, whose packed form is that of `swap.ts`. */

import {
  isMarkerPte,
  type MarkerLayout,
  swapPteHi,
  swapPteLo,
  swapPteOffset,
  swapPteType,
} from "../abi/index.ts";
import type { Kernel } from "./kernel.ts";
import { packSwapEntry, swapArea, swapSlot } from "./swap.ts";

/** Whether a PTE is a marker; never where the kernel has none. */
export function isMarker(
  k: Kernel,
  lo: number,
  hi: number,
): k is Kernel & { readonly markers: MarkerLayout } {
  return k.markers !== undefined && isMarkerPte(k.markers, lo, hi);
}

/** The packed swap entry of a swap PTE (which must be one, not a marker). */
export function pteSwapEntry(lo: number, hi: number): number {
  return packSwapEntry(swapPteType(hi), swapPteOffset(lo, hi));
}

export function swapEntryPteLo(entry: number, flags: number): number {
  return swapPteLo(swapSlot(entry), flags);
}

export function swapEntryPteHi(entry: number): number {
  return swapPteHi(swapArea(entry), swapSlot(entry));
}
