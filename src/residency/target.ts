/**
 * What the detectors ask, of a running kernel or of the model: a process's mappings, its pagemap, and the
 * objects that are mapped. Looking changes nothing: none of these faults a page in. Numbers of pages are of 4
 * KiB.
 */

import { PAGE_SIZE } from "../abi/index.ts";

/** What a mapping is of, which decides who knows where its pages are. */
export type MappingKind = "shmem" | "anon" | "file" | "hugetlb" | "special";

export interface Mapping {
  /** First address, and the one after the last; bytes. */
  readonly start: number;
  readonly end: number;
  readonly kind: MappingKind;
  /** MAP_SHARED. */
  readonly shared: boolean;
  /** Which object, the same text for every mapping of it in every process: "00:01:4242"; "" if none. */
  readonly objectId: string;
  /** What people call it: "memfd:guest-ram", "/dev/shm/x", "SYSV 0x0052e2c1", "[heap]". */
  readonly name: string;
  /** The object's page at the mapping's first. */
  readonly objectFirstPage: number;
  /** An {@link Attachment} has it registered: a present page that is not armed was written since. */
  readonly attached?: boolean;
}

/** What cachestat(2) counts in a range of an object, pages. */
export interface CacheCounts {
  /** In the page cache. */
  readonly cached: number;
  /** Not in it any more: in swap (a swap-cached page counts here, not above). */
  readonly evicted: number;
}

/** An object (shmem or file) seen from outside, by page of the object. */
export interface ObjectView extends Disposable {
  /** Sets `resident[i]` bit 0 to whether page `first + i` is in memory (page cache or swap cache). */
  mincore(first: number, pages: number, resident: Uint8Array): void;
  /** Calls back for each run of pages with content in the range, in order; the rest are holes. */
  forEachData(first: number, pages: number, run: (first: number, pages: number) => void): void;
  /** undefined: this kernel has no cachestat (6.5). The range may go beyond the object's end. */
  cachestat(first: number, pages: number): CacheCounts | undefined;
  /** What changes when content is removed or added. */
  stat(): ObjectStamp;
}

/** fstat of an object. */
export interface ObjectStamp {
  readonly sizePages: number;
  /** 512-byte units; of a shmem object: 8 for each page in memory, in swap, or reserved. */
  readonly blocks: number;
  /** Last change of its metadata, which a removal of content is; nanoseconds. */
  readonly changedNs: bigint;
}

/** From the first address to the one after the last; bytes. */
export interface AddressRange {
  readonly start: number;
  readonly end: number;
}

/** Why an object can't be asked. */
export interface Refusal {
  readonly reason: string;
}

export function isRefusal(answer: ObjectView | Refusal): answer is Refusal {
  return "reason" in answer;
}

/** What a kernel puts in pagemap entries with PM_SWAP, and shows us. */
export interface EntryMeaning {
  /**
   * An upper bound of the types of swap areas: an entry of that type or above is a marker, or of a page that
   * is being moved or is poisoned. undefined: types are not shown to us (that takes CAP_SYS_ADMIN).
   */
  readonly swapTypesEnd: number | undefined;
  /** The swap type of PTE markers; undefined where types are not shown. */
  readonly markerType: number | undefined;
  /**
   * Bits of the high word that the marker of a page-out has: PM_SWAP, and PM_UFFD_WP where it is
   * userfaultfd's write-protection that leaves it (and not the kernel by itself, as with the RFC).
   */
  readonly markerFlags: number;
}

/** A process whose pages are asked about. */
export interface Target extends Disposable {
  readonly pid: number;
  readonly name: string;
  /** Which kernel answers: "6.18.44". */
  readonly kernel: string;
  /** As they are now, in order of address. */
  mappings(): Mapping[];
  /**
   * Reads pagemap entries into `words` (low word, then high word, a page) from the page `firstPage` (address
   * / 4096); returns how many pages were read: fewer where the address space ends, 0 when the process has
   * ended.
   */
  readPagemap(firstPage: number, words: Uint32Array): number;
  /**
   * Where a mapping has page-table entries: ranges of addresses, in order, that leave out (most of) what has
   * none. undefined: this kernel can't tell (PAGEMAP_SCAN, 6.7).
   */
  populatedRanges(mapping: Mapping): readonly AddressRange[] | undefined;
  /** What this kernel's pagemap entries that are not present mean. */
  readonly entries: EntryMeaning;
  /**
   * The object behind a mapping; the caller disposes of it. A refusal where it can't be asked, or mincore
   * would not tell the truth (it says that all is in memory to who neither owns the object nor may write it).
   */
  openObject(mapping: Mapping): ObjectView | Refusal;
  /**
   * A count that every read from swap raises, on the whole machine; undefined where it can't be relied on.
   * While it stands, what was only in swap still is, or was removed.
   */
  swapIns(): number | undefined;
  /**
   * The same of pages written to swap. While it stands, no page went there, nor is in the swap cache for
   * that.
   */
  swapOuts(): number | undefined;
  /** Milliseconds, of the clock that objects' changes are stamped with. */
  now(): number;
  /**
   * How long what has begun may go unseen, milliseconds: a page that is being read from swap is counted in
   * {@link swapIns} before it is seen to be in memory, and a change may have the timestamp of the one before.
   */
  readonly settleMs: number;
}

/** The same for a mapping as long as it is the same: its place, and what of which object it maps. */
export function mappingKey({ start, end, objectId, objectFirstPage }: Mapping): string {
  return `${start}-${end} ${objectId} ${objectFirstPage}`;
}

export function pagesOf(mapping: Mapping): number {
  return (mapping.end - mapping.start) / PAGE_SIZE;
}
