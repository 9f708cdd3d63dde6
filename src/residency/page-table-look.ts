/**
 * What a process's page table says of a mapping: its pagemap, read in chunks and turned into page states. Where only
 * the object can tell, the page is marked {@link ASK}.
 */

import { PAGE_SIZE, PM_HI_FILE, PM_HI_GUARD_REGION, PM_HI_SWAP, PM_HI_UFFD_WP } from "../abi/index.ts";
import { ARMED, HOLE, MARKED, PRESENT, SWAPPED, UNKNOWN, WRITTEN } from "./page-state.ts";
import { type EntryMeaning, type Mapping, pagesOf, type Target } from "./target.ts";

/** In a byte of states, while a detector works: the page table can't tell, the object must be asked. */
export const ASK = 1 << 7;

/** Entries that are read at once: 512 KiB of them, which stay in the processor's cache. */
const CHUNK_PAGES = 65_536;

/** Turns `pages` entries into states, which go to `states` from `at` on. */
export type Classify = (words: Uint32Array, pages: number, states: Uint8Array, at: number) => void;

export class PageTableLook {
  #words = new Uint32Array(0);

  /** Fills `states`, one byte a page of the mapping. Returns how many pages could be read. */
  read(target: Target, mapping: Mapping, states: Uint8Array, classify: Classify): number {
    const pages = pagesOf(mapping);
    const first = mapping.start / PAGE_SIZE;
    const length = Math.min(pages, CHUNK_PAGES) * 2;
    if (this.#words.length < length) this.#words = new Uint32Array(length);
    for (let at = 0; at < pages; ) {
      const words = this.#words.subarray(0, Math.min(pages - at, CHUNK_PAGES) * 2);
      const got = target.readPagemap(first + at, words);
      classify(words, got, states, at);
      at += got;
      if (got < words.length / 2) return at;
    }
    return pages;
  }
}

/** How the entries of a mapping are read, by its kind. */
export function classifierOf(target: Target, mapping: Mapping): Classify {
  const written = mapping.attached === true ? WRITTEN : 0;
  const { entries } = target;
  switch (mapping.kind) {
    case "anon":
      return (words, pages, states, at) => classifyPrivate(entries, HOLE, written, words, pages, states, at);
    case "shmem":
    case "file":
      return mapping.shared
        ? (words, pages, states, at) => classifyShared(entries, written, words, pages, states, at)
        : (words, pages, states, at) => classifyPrivate(entries, ASK, written, words, pages, states, at);
    default:
      return (words, pages, states, at) => classifyPresent(words, pages, states, at);
  }
}

/** A shared mapping: a page that is not present may be anywhere, whatever its entry is. */
function classifyShared(
  { markerFlags, markerType }: EntryMeaning,
  written: number,
  words: Uint32Array,
  pages: number,
  states: Uint8Array,
  at: number,
): void {
  // As locals: constants of other modules, and those from 2^31 up, are slow in the loop.
  const marker = markerFlags | 0;
  const markerOrGuard = markerFlags | PM_HI_GUARD_REGION | 0;
  const [present, armed, ask, marked] = [PRESENT | 0, ARMED | 0, ASK | 0, ASK | MARKED | 0];
  const type = markerType ?? -1;
  for (let i = 0, w = 0; i < pages; i++, w += 2) {
    const hi = words[w + 1] | 0;
    if (hi < 0) {
      // Bit 57 becomes ARMED; a page of an attached mapping that is not armed was written.
      const isArmed = (hi >>> 22) & armed;
      states[at + i] = present | isArmed | (isArmed === 0 ? written : 0);
    } else if ((hi & markerOrGuard) === marker && (type < 0 || (words[w] & 31) === type)) {
      states[at + i] = marked;
    } else states[at + i] = ask;
  }
}

/**
 * A private mapping: own pages are the page table's, in memory and in swap. A page without an entry is `otherwise`: a
 * hole of anonymous memory, or the object's to tell.
 */
function classifyPrivate(
  { markerFlags, markerType, swapTypesEnd }: EntryMeaning,
  otherwise: number,
  written: number,
  words: Uint32Array,
  pages: number,
  states: Uint8Array,
  at: number,
): void {
  const armed = ARMED | 0;
  for (let i = 0, w = 0; i < pages; i++, w += 2) {
    const hi = words[w + 1] | 0;
    if (hi < 0) {
      const isArmed = (hi >>> 22) & armed;
      states[at + i] = PRESENT | isArmed | (isArmed === 0 ? written : 0);
    } else if ((hi & PM_HI_SWAP) === 0 || (hi & PM_HI_GUARD_REGION) !== 0) {
      states[at + i] = otherwise; // none, or a guard region: nothing of the process's own
    } else if (swapTypesEnd === undefined) {
      // A write-protected page in swap and a marker look alike; a file's page is on its way elsewhere in memory.
      states[at + i] = (hi & (PM_HI_UFFD_WP | PM_HI_FILE)) === 0 ? SWAPPED : UNKNOWN;
    } else {
      const type = words[w] & 31;
      if (type < swapTypesEnd) states[at + i] = SWAPPED;
      else if (type !== markerType) states[at + i] = UNKNOWN;
      else states[at + i] = (hi & markerFlags) === markerFlags ? otherwise | MARKED : otherwise;
    }
  }
}

/** A mapping of which nobody can be asked. */
function classifyPresent(words: Uint32Array, pages: number, states: Uint8Array, at: number): void {
  for (let i = 0, w = 1; i < pages; i++, w += 2) states[at + i] = (words[w] | 0) < 0 ? PRESENT : UNKNOWN;
}
