/**
 * The PAGEMAP_SCAN ioctl (6.7): runs of pages of one kind, found by the kernel, and write-protected on the
 * way if wanted. Source: `Documentation/admin-guide/mm/pagemap.rst`, `include/uapi/linux/fs.h` (6.18).
 */

import { encodePmScanArg, PAGE_REGION_BYTES, PAGEMAP_SCAN } from "../abi/index.ts";
import { addressOf, ioctlRaw } from "./libc.ts";
import { errnoNameOf, LinuxError } from "./linux-error.ts";
import type { PagemapFile } from "./pagemap.ts";

/** Which pages of which addresses, by masks of the categories `PAGE_IS_...`. */
export interface ScanRequest {
  /** First address, and the one after the last; bytes, whole pages. */
  readonly start: number;
  readonly end: number;
  /** `PM_SCAN_WP_MATCHING` protects what matches, `PM_SCAN_CHECK_WPASYNC` fails where that can't be. */
  readonly flags?: number;
  /** Categories that a page must have, all of them; after {@link inverted} is applied. */
  readonly mask?: number;
  /** Categories of which a page must have one; 0 for any page. */
  readonly anyOf?: number;
  /** Categories whose bit is turned round before it is compared. */
  readonly inverted?: number;
  /** Categories that are told of a region, and that part regions. */
  readonly returned?: number;
}

/** A run of pages with the same categories; addresses in bytes. */
export type VisitRegion = (start: number, end: number, categories: number) => void;

const REGION_WORDS = PAGE_REGION_BYTES / 4;
/** Where fields of `struct pm_scan_arg` are, in 32-bit words. */
const ARG_START = 2 * 2;
const ARG_WALK_END = 4 * 2;

const NEEDS: Readonly<Record<string, string>> = {
  ENOTTY: "PAGEMAP_SCAN, which Linux has since 6.7",
  EPERM:
    "every page of the range to be registered for asynchronous write-protection (userfaultfd, Linux 6.7)",
};

/** Scans pagemaps, with one vector for the regions that is used again. */
export class PagemapScanner {
  readonly #vector: Uint32Array;
  readonly #vectorAddress: bigint;

  /** `regionsMax` is how many regions one call of the kernel can tell. */
  constructor({ regionsMax = 4096 }: { readonly regionsMax?: number } = {}) {
    this.#vector = new Uint32Array(regionsMax * REGION_WORDS);
    this.#vectorAddress = addressOf(this.#vector);
  }

  /**
   * Scans the whole range, in as many calls as it takes, and calls back for each region in order. Nothing is
   * found in a process that has ended. A region may come in two parts, where a call ended. Returns how many
   * there were.
   */
  scan(pagemap: PagemapFile, request: ScanRequest, visit: VisitRegion): number {
    const vectorLength = this.#vector.length / REGION_WORDS;
    let regions = 0;
    walk(pagemap, request, { address: this.#vectorAddress, length: vectorLength }, (count) => {
      this.#visit(count, visit);
      regions += count;
    });
    return regions;
  }

  /** Scans for what it does (`PM_SCAN_WP_MATCHING`), and asks for no regions. */
  apply(pagemap: PagemapFile, request: ScanRequest): void {
    walk(pagemap, request, { address: 0n, length: 0 }, () => undefined);
  }

  #visit(count: number, visit: VisitRegion): void {
    const vector = this.#vector;
    for (let at = 0; at < count * REGION_WORDS; at += REGION_WORDS) {
      const start = vector[at + 1] * 2 ** 32 + vector[at];
      const end = vector[at + 3] * 2 ** 32 + vector[at + 2];
      visit(start, end, vector[at + 4]);
    }
  }
}

interface RegionVector {
  readonly address: bigint;
  readonly length: number;
}

function walk(
  { fd, pid }: PagemapFile,
  { start, end, flags = 0, mask = 0, anyOf = 0, inverted = 0, returned = 0 }: ScanRequest,
  vector: RegionVector,
  found: (regions: number) => void,
): void {
  const words = encodePmScanArg({
    flags,
    start: BigInt(start),
    end: BigInt(end),
    walkEnd: 0n,
    vec: vector.address,
    vecLen: BigInt(vector.length),
    maxPages: 0n,
    categoryInverted: inverted,
    categoryMask: mask,
    categoryAnyofMask: anyOf,
    returnMask: returned,
  });
  const argument = new Uint32Array(words.buffer);
  for (let from = start; from < end; ) {
    const regions = ioctlRaw(fd, PAGEMAP_SCAN, argument);
    if (regions < 0) {
      const code = errnoNameOf(-regions);
      if (code === "EINTR") continue;
      throw new LinuxError({
        code,
        call: `PAGEMAP_SCAN of process ${pid} from 0x${from.toString(16)} to 0x${end.toString(16)}`,
        needs: NEEDS[code] ?? "",
      });
    }
    found(regions);
    from = argument[ARG_WALK_END + 1] * 2 ** 32 + argument[ARG_WALK_END];
    argument[ARG_START] = argument[ARG_WALK_END];
    argument[ARG_START + 1] = argument[ARG_WALK_END + 1];
  }
}
