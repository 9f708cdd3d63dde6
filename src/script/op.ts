/** The op language of test/fixtures/traces/README.md, one object an op. */

export type Advice =
  | "DONTNEED"
  | "REMOVE"
  | "PAGEOUT"
  | "COLD"
  | "WILLNEED"
  | "FREE"
  | "POPULATE_READ"
  | "POPULATE_WRITE";

export type Protection = "rw" | "r";

interface PageRange {
  /** First page, relative to the mapping (or to the object, for ops on an object). */
  readonly first: number;
  readonly pages: number;
}

interface MappingRange extends PageRange {
  readonly proc: string;
  readonly mapping: string;
}

/** Pages of an object. */
export interface ObjectRange extends PageRange {
  readonly obj: string;
}

export type Op =
  | { readonly kind: "obj"; readonly obj: string; readonly pages: number }
  | ({ readonly kind: "map" | "mapcow"; readonly obj: string; readonly prot: Protection } & MappingRange)
  | {
      readonly kind: "mapanon";
      readonly proc: string;
      readonly mapping: string;
      readonly pages: number;
      readonly prot: Protection;
    }
  | ({ readonly kind: "unmap" | "write" | "read" } & MappingRange)
  | ({ readonly kind: "madvise"; readonly advice: Advice } & MappingRange)
  | ({ readonly kind: "mprotect"; readonly prot: Protection } & MappingRange)
  | { readonly kind: "mremap"; readonly proc: string; readonly mapping: string; readonly to: string }
  | { readonly kind: "fork"; readonly proc: string; readonly child: string }
  | { readonly kind: "exit" | "clearrefs"; readonly proc: string }
  | ({ readonly kind: "readfd" | "writefd" | "punch" } & ObjectRange)
  | { readonly kind: "truncate"; readonly obj: string; readonly pages: number }
  | { readonly kind: "reclaim" | "swapoff" | "swapon" }
  | { readonly kind: "uffd"; readonly proc: string; readonly mapping: string }
  | ({ readonly kind: "uffdwp"; readonly protect: boolean } & MappingRange);

/** The ops of certain kinds. */
export type OpOf<Kind extends Op["kind"]> = Op & { readonly kind: Kind };

/** The pages that a recorded partial reclaim took out of memory, named as an observer names them. */
export interface ReclaimInput {
  /** Pages of shmem objects that were resident and are no longer: object name to page numbers. */
  readonly objs: Readonly<Record<string, readonly number[]>>;
  /** Private pages: process, mapping and page where one is no longer in memory. */
  readonly mapped: readonly { readonly proc: string; readonly mapping: string; readonly page: number }[];
}
