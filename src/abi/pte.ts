/**
 * The x86-64 page-table entry, 4 KiB pages. Source: `arch/x86/include/asm/pgtable_types.h`,
 * `pgtable_64.h` (Linux 6.1 and 6.18); Intel SDM vol. 3, 4.5.
 *
 * An entry is 64 bits, kept as two unsigned 32-bit words, `lo` (bits 0-31) and `hi` (bits 32-63), so that
 * a page table in a `Uint32Array` holds the very bytes of the hardware's and nothing on a hot path needs a BigInt.
 *
 * Present form (bit 0 set):
 *
 *     hi 63  62..52  51..32 lo 31..12  11  10   9   8   7   6   5   4   3   2   1   0
 *        NX  ......  <---- PFN ---->   SD  UWP  SP  G   PAT D   A   PCD PWT U   RW  P
 *
 * Swap form (bit 0 and bit 8 clear, the entry not zero):
 *
 *     hi 63..59  58..32 lo 31..9        8   7..4  3   2    1   0
 *        type    <- ~offset, 50 bits -> 0   ....  E   UWP  SD  0
 *
 * SD soft-dirty, UWP userfaultfd write-protected, SP special, E exclusive anonymous page.
 */

export const PTE_PRESENT = 0x001;
export const PTE_RW = 0x002;
export const PTE_USER = 0x004;
export const PTE_PWT = 0x008;
export const PTE_PCD = 0x010;
export const PTE_ACCESSED = 0x020;
export const PTE_DIRTY = 0x040;
export const PTE_PAT = 0x080;
/** Global when present; PROT_NONE when not (and then the entry still maps a page). */
export const PTE_GLOBAL = 0x100;
export const PTE_SPECIAL = 0x200;
export const PTE_UFFD_WP = 0x400;
export const PTE_SOFT_DIRTY = 0x800;
/** In the high word: no execute. */
export const PTE_HI_NX = 0x8000_0000;

/** In the low word: the bits of the page frame number. */
export const PTE_PFN_LO_MASK = 0xffff_f000;
/** In the high word: the bits of the page frame number (52-bit physical addresses). */
export const PTE_PFN_HI_MASK = 0x000f_ffff;

/** Swap form, low word. */
export const PTE_SWP_SOFT_DIRTY = 0x002;
export const PTE_SWP_UFFD_WP = 0x004;
export const PTE_SWP_EXCLUSIVE = 0x008;

/** Swap form: the inverted offset starts at this bit, and the type takes the top bits of the high word. */
export const PTE_SWP_OFFSET_SHIFT = 9;
export const PTE_SWP_OFFSET_BITS = 50;
export const PTE_SWP_TYPE_SHIFT_HI = 27;

/** The page frame number of a present entry; any `lo`, `hi`. */
export function ptePfn(lo: number, hi: number): number {
  return (hi & PTE_PFN_HI_MASK) * 0x10_0000 + (lo >>> 12);
}

/** The low word of a present entry for `pfn` (an integer below 2^40) with the flag bits `flags` (bits 0-11). */
export function pteLo(pfn: number, flags: number): number {
  return ((pfn << 12) | flags) >>> 0;
}

/** The high word of a present entry for `pfn` (below 2^40) with the high flag bits `flagsHi`. */
export function pteHi(pfn: number, flagsHi: number): number {
  return (Math.floor(pfn / 0x10_0000) | flagsHi) >>> 0;
}

export function isPteNone(lo: number, hi: number): boolean {
  return (lo | hi) === 0;
}

export function isPtePresent(lo: number): boolean {
  return (lo & (PTE_PRESENT | PTE_GLOBAL)) !== 0;
}

/** Neither none nor present: a swap entry, a migration entry or a marker. */
export function isSwapPte(lo: number, hi: number): boolean {
  return (lo | hi) !== 0 && (lo & (PTE_PRESENT | PTE_GLOBAL)) === 0;
}

/**
 * The low word of a swap-form entry. `offset` is an integer below 2^50, `flags` are `PTE_SWP_` bits.
 * The offset is stored inverted, so that a swap entry points at no memory (L1TF).
 */
export function swapPteLo(offset: number, flags: number): number {
  return ((~offset << PTE_SWP_OFFSET_SHIFT) | flags) >>> 0;
}

/** The high word of a swap-form entry; `type` below 32, `offset` below 2^50. */
export function swapPteHi(type: number, offset: number): number {
  // 23 bits of the offset are in the low word, 27 here.
  return ((type << PTE_SWP_TYPE_SHIFT_HI) | (~Math.floor(offset / 0x80_0000) & 0x07ff_ffff)) >>> 0;
}

/** The swap type (0-31) of a swap-form entry. */
export function swapPteType(hi: number): number {
  return hi >>> PTE_SWP_TYPE_SHIFT_HI;
}

/** The offset (below 2^50) of a swap-form entry. */
export function swapPteOffset(lo: number, hi: number): number {
  return (~hi & 0x07ff_ffff) * 0x80_0000 + (~lo >>> PTE_SWP_OFFSET_SHIFT);
}

/** The low word without its `PTE_SWP_` flags: what names the slot (`pte_same_as_swp`). */
export function swapPteWithoutFlags(lo: number): number {
  return (lo & ~(PTE_SWP_SOFT_DIRTY | PTE_SWP_UFFD_WP | PTE_SWP_EXCLUSIVE)) >>> 0;
}

/** The flag bits (0-11) and NX of an entry as the kernel's `pte_modify` keeps them when a protection changes. */
export const PTE_CHANGE_MASK_LO =
  (PTE_PFN_LO_MASK |
    PTE_PCD |
    PTE_PWT |
    PTE_SPECIAL |
    PTE_ACCESSED |
    PTE_DIRTY |
    PTE_SOFT_DIRTY |
    PTE_UFFD_WP) >>>
  0;

/** A 64-bit entry as a BigInt, for public edges and debugging. */
export function pteToBigInt(lo: number, hi: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
}
