/**
 * What the detectors ask, of a running kernel or of the model: a process's mappings, its pagemap, and the objects that
 * are mapped. Looking changes nothing: none of these faults a page in. Numbers of pages are of 4 KiB.
 */

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
  /** undefined: this kernel has no cachestat, or it may not be asked. */
  cachestat(first: number, pages: number): CacheCounts | undefined;
  /** What changes when content is removed or added: equal stamps, nothing was (but for what the clock can't tell apart). */
  stat(): ObjectStamp;
}

/** fstat of an object. */
export interface ObjectStamp {
  readonly sizePages: number;
  /** 512-byte units: pages in memory and in swap. */
  readonly blocks: number;
  /** Last change of its metadata, which a removal of content is; nanoseconds. */
  readonly changedNs: bigint;
}

/** Why an object can't be asked. */
export interface Refusal {
  readonly reason: string;
}

/** A process whose pages are asked about. */
export interface Target extends Disposable {
  readonly pid: number;
  readonly name: string;
  /** As they are now, in order of address. */
  mappings(): Mapping[];
  /**
   * Reads pagemap entries into `words` (low word, then high word, a page) from the page `firstPage` (address / 4096);
   * returns how many pages were read: fewer where the address space ends, 0 when the process has ended.
   */
  readPagemap(firstPage: number, words: Uint32Array): number;
  /** Whether swap types and offsets are shown, so that a marker can be told from a swap entry of private memory. */
  readonly showsSwapEntries: boolean;
  /** The object behind a mapping; the caller disposes of it. */
  openObject(mapping: Mapping): ObjectView | Refusal;
  /**
   * A count that every read from swap raises, on the whole machine; undefined where it can't be relied on. While it
   * stands, what was only in swap still is, or was removed.
   */
  swapIns(): number | undefined;
}
