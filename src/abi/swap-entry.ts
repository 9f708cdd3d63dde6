/**
 * `swp_entry_t`, the kernel's own, architecture-independent form of a swap entry:
 * 5 bits of type over 58 bits of offset. Source: `include/linux/swapops.h`, `include/linux/swap.h` (6.1, 6.18).
 *
 *     63  62..58   57..0
 *     0   type     offset
 *
 * The types above the swap areas are reserved, from the top of the 32 down, as the configuration has them.
 */

export const MAX_SWAPFILES_SHIFT = 5;
export const SWP_TYPE_SHIFT = 58;
export const SWP_OFFSET_MASK = (1n << 58n) - 1n;

/** Makes a `swp_entry_t`. Throws a RangeError if `type` is not below 32 or `offset` not below 2^58. */
export function swpEntry(type: number, offset: bigint): bigint {
  if (!Number.isInteger(type) || type < 0 || type >= 1 << MAX_SWAPFILES_SHIFT)
    throw new RangeError(`swap type ${type}: must be an integer from 0 to 31`);
  if (offset < 0n || offset > SWP_OFFSET_MASK)
    throw new RangeError(`swap offset ${offset}: must be from 0 to 2^58 - 1`);
  return (BigInt(type) << BigInt(SWP_TYPE_SHIFT)) | offset;
}

export function swpType(entry: bigint): number {
  return Number(entry >> BigInt(SWP_TYPE_SHIFT)) & 31;
}

export function swpOffset(entry: bigint): bigint {
  return entry & SWP_OFFSET_MASK;
}

/** Which reserved swap types a kernel has. Two kernels differ in how many there are, and so in their numbers. */
export interface SwapTypeConfig {
  /** CONFIG_MEMORY_FAILURE: one type for poisoned pages. */
  readonly MEMORY_FAILURE: boolean;
  /** CONFIG_MIGRATION: three types since 5.19 (read, read-exclusive, write), two before. */
  readonly MIGRATION: boolean;
  /** CONFIG_DEVICE_PRIVATE: device private and device exclusive, read and write. */
  readonly DEVICE_PRIVATE: boolean;
  /** A type for PTE markers. */
  readonly PTE_MARKER: boolean;
  /** A type of its own for swap-in errors (5.19 to 6.1); a marker later. */
  readonly SWAPIN_ERROR: boolean;
}

/** The numbers of the reserved types; `undefined` where the configuration has none. */
export interface SwapTypes {
  /** Types below this are swap areas. */
  readonly maxSwapfiles: number;
  readonly hwpoison: number | undefined;
  readonly migrationRead: number | undefined;
  readonly migrationReadExclusive: number | undefined;
  readonly migrationWrite: number | undefined;
  readonly deviceWrite: number | undefined;
  readonly deviceRead: number | undefined;
  readonly deviceExclusiveWrite: number | undefined;
  readonly deviceExclusiveRead: number | undefined;
  readonly pteMarker: number | undefined;
  readonly swapinError: number | undefined;
}

/** Lays the reserved types out in the kernel's order: hwpoison, migration, device, marker, swap-in error. */
export function layOutSwapTypes(config: SwapTypeConfig): SwapTypes {
  const count =
    (config.MEMORY_FAILURE ? 1 : 0) +
    (config.MIGRATION ? 3 : 0) +
    (config.DEVICE_PRIVATE ? 4 : 0) +
    (config.PTE_MARKER ? 1 : 0) +
    (config.SWAPIN_ERROR ? 1 : 0);
  const maxSwapfiles = (1 << MAX_SWAPFILES_SHIFT) - count;
  let next = maxSwapfiles;
  const take = (has: boolean): number | undefined => (has ? next++ : undefined);
  return {
    maxSwapfiles,
    hwpoison: take(config.MEMORY_FAILURE),
    migrationRead: take(config.MIGRATION),
    migrationReadExclusive: take(config.MIGRATION),
    migrationWrite: take(config.MIGRATION),
    deviceWrite: take(config.DEVICE_PRIVATE),
    deviceRead: take(config.DEVICE_PRIVATE),
    deviceExclusiveWrite: take(config.DEVICE_PRIVATE),
    deviceExclusiveRead: take(config.DEVICE_PRIVATE),
    pteMarker: take(config.PTE_MARKER),
    swapinError: take(config.SWAPIN_ERROR),
  };
}

/** The fewest swap areas that any configuration leaves: entries of this type and above are on no device. */
export const MAX_SWAPFILES_FEWEST = layOutSwapTypes({
  MEMORY_FAILURE: true,
  MIGRATION: true,
  DEVICE_PRIVATE: true,
  PTE_MARKER: true,
  SWAPIN_ERROR: true,
}).maxSwapfiles;
