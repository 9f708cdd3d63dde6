/**
 * An entry of `/proc/PID/pagemap`: 64 bits a page, little endian, read in multiples of 8 bytes at
 * (virtual page number * 8). Source: `Documentation/admin-guide/mm/pagemap.rst`, `fs/proc/task_mmu.c` (6.1, 6.18).
 *
 *     63       62    61    60..59  58     57       56         55          54..0
 *     present  swap  file  0       guard  uffd-wp  exclusive  soft-dirty  PFN, or swap type (4..0) and offset (54..5)
 *
 * Bit 58 since 6.15. `PM_` masks here are of the high 32-bit word.
 */

export const PAGEMAP_ENTRY_BYTES = 8;

export const PM_HI_SOFT_DIRTY = 0x0080_0000;
export const PM_HI_MMAP_EXCLUSIVE = 0x0100_0000;
export const PM_HI_UFFD_WP = 0x0200_0000;
export const PM_HI_GUARD_REGION = 0x0400_0000;
export const PM_HI_FILE = 0x2000_0000;
export const PM_HI_SWAP = 0x4000_0000;
export const PM_HI_PRESENT = 0x8000_0000;

/** In the high word: the part of the 55-bit frame field. */
export const PM_HI_FRAME_MASK = 0x007f_ffff;

/** Swap entries: the type is in the low 5 bits of the frame field, the offset above. */
export const PM_SWAP_TYPE_BITS = 5;

/** An entry, decoded. */
export interface PagemapEntry {
  readonly present: boolean;
  readonly swap: boolean;
  /** The page is of a file or shared anonymous memory. */
  readonly file: boolean;
  readonly guard: boolean;
  readonly uffdWp: boolean;
  /** The page is mapped exactly once. */
  readonly exclusive: boolean;
  readonly softDirty: boolean;
  /** The page frame number of a present page, else 0; 0 also for a reader without CAP_SYS_ADMIN. */
  readonly pfn: bigint;
  /** Type and offset of a swap entry; 0 if not one. */
  readonly swapType: number;
  readonly swapOffset: bigint;
}

/** Decodes an entry given as its two 32-bit words. */
export function decodePagemapEntry(lo: number, hi: number): PagemapEntry {
  const present = (hi & PM_HI_PRESENT) !== 0;
  const swap = (hi & PM_HI_SWAP) !== 0;
  const frame = (BigInt(hi & PM_HI_FRAME_MASK) << 32n) | BigInt(lo >>> 0);
  return {
    present,
    swap,
    file: (hi & PM_HI_FILE) !== 0,
    guard: (hi & PM_HI_GUARD_REGION) !== 0,
    uffdWp: (hi & PM_HI_UFFD_WP) !== 0,
    exclusive: (hi & PM_HI_MMAP_EXCLUSIVE) !== 0,
    softDirty: (hi & PM_HI_SOFT_DIRTY) !== 0,
    pfn: present ? frame : 0n,
    swapType: swap && !present ? lo & 31 : 0,
    swapOffset: swap && !present ? frame >> BigInt(PM_SWAP_TYPE_BITS) : 0n,
  };
}

/** The 64-bit word of an entry. */
export function encodePagemapEntry(entry: PagemapEntry): bigint {
  const flags =
    (entry.present ? PM_HI_PRESENT : 0) |
    (entry.swap ? PM_HI_SWAP : 0) |
    (entry.file ? PM_HI_FILE : 0) |
    (entry.guard ? PM_HI_GUARD_REGION : 0) |
    (entry.uffdWp ? PM_HI_UFFD_WP : 0) |
    (entry.exclusive ? PM_HI_MMAP_EXCLUSIVE : 0) |
    (entry.softDirty ? PM_HI_SOFT_DIRTY : 0);
  const frame = entry.present
    ? entry.pfn
    : BigInt(entry.swapType) | (entry.swapOffset << BigInt(PM_SWAP_TYPE_BITS));
  return (BigInt(flags >>> 0) << 32n) | (frame & ((1n << 55n) - 1n));
}

/** Bits 55 to 63 of an entry, from its high word: the part that needs no privilege to read. */
export function pagemapFlags(hi: number): number {
  return hi >>> 23;
}
