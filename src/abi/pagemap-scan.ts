/**
 * The PAGEMAP_SCAN ioctl of `/proc/PID/pagemap` (6.7). Source: `include/uapi/linux/fs.h` (6.18),
 * `Documentation/admin-guide/mm/pagemap.rst`.
 */

/** Request number: `_IOWR('f', 16, struct pm_scan_arg)`. */
export const PAGEMAP_SCAN = 0xc060_6610;

/** Page categories, in masks and in a region's `categories`. */
export const PAGE_IS_WPALLOWED = 1 << 0;
export const PAGE_IS_WRITTEN = 1 << 1;
export const PAGE_IS_FILE = 1 << 2;
export const PAGE_IS_PRESENT = 1 << 3;
export const PAGE_IS_SWAPPED = 1 << 4;
export const PAGE_IS_PFNZERO = 1 << 5;
export const PAGE_IS_HUGE = 1 << 6;
export const PAGE_IS_SOFT_DIRTY = 1 << 7;
/** 6.15. */
export const PAGE_IS_GUARD = 1 << 8;

/** Write-protect the pages that match. */
export const PM_SCAN_WP_MATCHING = 1 << 0;
/** Fail with EPERM, rather than skip, where asynchronous write-protection is not registered. */
export const PM_SCAN_CHECK_WPASYNC = 1 << 1;

/** `struct pm_scan_arg`: twelve u64. */
export const PM_SCAN_ARG_BYTES = 96;
/** `struct page_region`: start, end, categories; three u64. */
export const PAGE_REGION_BYTES = 24;

/** The argument of PAGEMAP_SCAN. Addresses are bytes. */
export interface PmScanArg {
  readonly flags: number;
  readonly start: bigint;
  readonly end: bigint;
  /** Where the walk ended; filled in by the kernel. */
  readonly walkEnd: bigint;
  /** Address of the vector of regions, and how many it holds. */
  readonly vec: bigint;
  readonly vecLen: bigint;
  /** Stop after so many pages; 0 for no limit. */
  readonly maxPages: bigint;
  readonly categoryInverted: number;
  readonly categoryMask: number;
  readonly categoryAnyofMask: number;
  readonly returnMask: number;
}

export function encodePmScanArg(arg: PmScanArg): BigUint64Array {
  return BigUint64Array.of(
    BigInt(PM_SCAN_ARG_BYTES),
    BigInt(arg.flags),
    arg.start,
    arg.end,
    arg.walkEnd,
    arg.vec,
    arg.vecLen,
    arg.maxPages,
    BigInt(arg.categoryInverted),
    BigInt(arg.categoryMask),
    BigInt(arg.categoryAnyofMask),
    BigInt(arg.returnMask),
  );
}

/** Decodes the twelve words. Throws a RangeError if the size field is not {@link PM_SCAN_ARG_BYTES}. */
export function decodePmScanArg(words: BigUint64Array): PmScanArg {
  if (words.length !== PM_SCAN_ARG_BYTES / 8 || words[0] !== BigInt(PM_SCAN_ARG_BYTES))
    throw new RangeError(
      `pm_scan_arg: ${words.length} words, size ${words[0]}; must be 12 and ${PM_SCAN_ARG_BYTES}`,
    );
  return {
    flags: Number(words[1]),
    start: words[2],
    end: words[3],
    walkEnd: words[4],
    vec: words[5],
    vecLen: words[6],
    maxPages: words[7],
    categoryInverted: Number(words[8]),
    categoryMask: Number(words[9]),
    categoryAnyofMask: Number(words[10]),
    returnMask: Number(words[11]),
  };
}

/** One region of the result: pages from `start` to `end` are alike. */
export interface PageRegion {
  readonly start: bigint;
  readonly end: bigint;
  readonly categories: number;
}

export function encodePageRegion(region: PageRegion): BigUint64Array {
  return BigUint64Array.of(region.start, region.end, BigInt(region.categories));
}

/** Decodes region number `index` of a vector. */
export function decodePageRegion(vector: BigUint64Array, index = 0): PageRegion {
  return {
    start: vector[index * 3],
    end: vector[index * 3 + 1],
    categories: Number(vector[index * 3 + 2]),
  };
}
