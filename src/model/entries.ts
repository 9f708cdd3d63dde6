/** Between the PTE's form of a swap entry and the packed one of `swap.ts`. */

import { swapPteHi, swapPteLo, swapPteOffset, swapPteType } from "../abi/index.ts";
import { packSwapEntry, swapArea, swapSlot } from "./swap.ts";

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
