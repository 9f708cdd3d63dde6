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

export class PageTableLook {
  readonly #target: Target;
  readonly #tables = new Map<string, EntryTable>();
  #words = new Uint32Array(0);

  constructor(target: Target) {
    this.#target = target;
  }

  /** Fills `states`, one byte a page of the mapping. Returns how many pages could be read. */
  read(mapping: Mapping, states: Uint8Array): number {
    const pages = pagesOf(mapping);
    const first = mapping.start / PAGE_SIZE;
    const table = this.#tableOf(mapping);
    const length = Math.min(pages, CHUNK_PAGES) * 2;
    if (this.#words.length < length) this.#words = new Uint32Array(length);
    for (let at = 0; at < pages; ) {
      const words = this.#words.subarray(0, Math.min(pages - at, CHUNK_PAGES) * 2);
      const got = this.#target.readPagemap(first + at, words);
      classify(table, words, got, states, at);
      at += got;
      if (got < words.length / 2) return at;
    }
    return pages;
  }

  #tableOf(mapping: Mapping): EntryTable {
    const { kind, shared, attached = false } = mapping;
    const key = `${kind} ${shared} ${attached}`;
    let table = this.#tables.get(key);
    if (table === undefined) {
      table = entryTable(this.#target.entries, mapping);
      this.#tables.set(key, table);
    }
    return table;
  }
}

/**
 * A byte of states for each combination of what of an entry matters: its flags (bits 55 to 63) and, in bits 0 to 4, its
 * swap type (or of a present page any bits of its frame number, of which the state doesn't depend).
 */
export type EntryTable = Uint8Array;

const TYPE_BITS = 5;
const TYPE_MASK = (1 << TYPE_BITS) - 1;
/** Bits of the high word that are flags. */
const FLAG_BITS = 9;
const FLAG_SHIFT = 32 - FLAG_BITS;
const FLAG_MASK = ((1 << FLAG_BITS) - 1) << TYPE_BITS;

/** The state of a page that is not present. The type counts where PM_SWAP is set. */
type Rule = (entries: EntryMeaning, hi: number, type: number) => number;

/** How the entries of a mapping are read, by its kind. */
export function entryTable(entries: EntryMeaning, mapping: Mapping): EntryTable {
  const rule = ruleOf(mapping);
  const unarmed = mapping.attached === true ? PRESENT | WRITTEN : PRESENT;
  const table = new Uint8Array(1 << (FLAG_BITS + TYPE_BITS));
  for (let flags = 0; flags < 1 << FLAG_BITS; flags++) {
    const hi = flags << FLAG_SHIFT;
    const from = flags << TYPE_BITS;
    const end = from + (1 << TYPE_BITS);
    if (hi < 0) table.fill((hi & PM_HI_UFFD_WP) !== 0 ? PRESENT | ARMED : unarmed, from, end);
    else if ((hi & PM_HI_SWAP) === 0) table.fill(rule(entries, hi, 0), from, end);
    else for (let type = 0; type <= TYPE_MASK; type++) table[from + type] = rule(entries, hi, type);
  }
  return table;
}

/** Turns `pages` entries (low word, then high word) into states, which go to `states` from `at` on. */
export function classify(
  table: EntryTable,
  words: Uint32Array,
  pages: number,
  states: Uint8Array,
  at: number,
): void {
  const canStoreWords = ((states.byteOffset + at) & 3) === 0;
  let page = canStoreWords ? classifyEights(table, words, pages, states, at) : 0;
  for (; page < pages; page++) states[at + page] = table[indexOf(words[page * 2 + 1], words[page * 2])];
}

function indexOf(hi: number, lo: number): number {
  return ((hi >>> (FLAG_SHIFT - TYPE_BITS)) & FLAG_MASK) | (lo & TYPE_MASK);
}

/**
 * Neighbours are mostly alike: eight at once are compared with the entry before them, and looked up only if one
 * differs. Twice as fast as to look each up. Returns how many pages are done, all but the last few.
 */
function classifyEights(
  table: EntryTable,
  words: Uint32Array,
  pages: number,
  states: Uint8Array,
  at: number,
): number {
  // As locals: constants of a module are slower in the loop; and unrolled, since a loop would be a third of the work.
  const [flags, swap] = [-1 << FLAG_SHIFT, PM_HI_SWAP | 0];
  const [shift, index, types] = [FLAG_SHIFT - TYPE_BITS, FLAG_MASK | 0, TYPE_MASK | 0];
  const eights = pages >>> 3;
  const fours = new Uint32Array(states.buffer, states.byteOffset + at, eights * 2);
  let hi = 0;
  let lo = 0;
  /** Bits of the low word that matter: of a page that is present they are of its frame number. */
  let lowBits = 0;
  let four = Math.imul(table[0], 0x0101_0101);
  for (let i = 0, w = 0; i < eights; i++, w += 16) {
    const isAlike =
      (((words[w + 1] ^ hi) |
        (words[w + 3] ^ hi) |
        (words[w + 5] ^ hi) |
        (words[w + 7] ^ hi) |
        (words[w + 9] ^ hi) |
        (words[w + 11] ^ hi) |
        (words[w + 13] ^ hi) |
        (words[w + 15] ^ hi)) &
        flags) ===
        0 &&
      (lowBits === 0 ||
        (((words[w] ^ lo) |
          (words[w + 2] ^ lo) |
          (words[w + 4] ^ lo) |
          (words[w + 6] ^ lo) |
          (words[w + 8] ^ lo) |
          (words[w + 10] ^ lo) |
          (words[w + 12] ^ lo) |
          (words[w + 14] ^ lo)) &
          lowBits) ===
          0);
    if (!isAlike) {
      const first = at + i * 8;
      states[first] = table[((words[w + 1] >>> shift) & index) | (words[w] & types)];
      states[first + 1] = table[((words[w + 3] >>> shift) & index) | (words[w + 2] & types)];
      states[first + 2] = table[((words[w + 5] >>> shift) & index) | (words[w + 4] & types)];
      states[first + 3] = table[((words[w + 7] >>> shift) & index) | (words[w + 6] & types)];
      states[first + 4] = table[((words[w + 9] >>> shift) & index) | (words[w + 8] & types)];
      states[first + 5] = table[((words[w + 11] >>> shift) & index) | (words[w + 10] & types)];
      states[first + 6] = table[((words[w + 13] >>> shift) & index) | (words[w + 12] & types)];
      states[first + 7] = table[((words[w + 15] >>> shift) & index) | (words[w + 14] & types)];
      hi = words[w + 15] | 0;
      lo = words[w + 14] | 0;
      lowBits = (hi & swap) === 0 ? 0 : types;
      four = Math.imul(states[first + 7], 0x0101_0101);
      continue;
    }
    fours[i * 2] = four;
    fours[i * 2 + 1] = four;
  }
  return eights * 8;
}

function ruleOf({ kind, shared }: Mapping): Rule {
  if (kind === "anon") return ofPrivateMemory;
  if (kind !== "shmem" && kind !== "file") return ofNobodyToAsk;
  return shared ? ofSharedMapping : ofPrivateMapping;
}

/** The page may be anywhere, whatever the entry is. */
const ofSharedMapping: Rule = (entries, hi, type) => {
  const isMarker =
    (hi & (entries.markerFlags | PM_HI_GUARD_REGION)) === entries.markerFlags &&
    (entries.markerType === undefined || type === entries.markerType);
  return isMarker ? ASK | MARKED : ASK;
};

const ofPrivateMemory: Rule = (entries, hi, type) => ofPrivate(entries, hi, type, HOLE);
const ofPrivateMapping: Rule = (entries, hi, type) => ofPrivate(entries, hi, type, ASK);

/**
 * Own pages are the page table's, in memory and in swap. A page without an entry is `otherwise`: a hole of anonymous
 * memory, or the object's to tell.
 */
function ofPrivate(
  { markerFlags, markerType, swapTypesEnd }: EntryMeaning,
  hi: number,
  type: number,
  otherwise: number,
): number {
  // None, or a guard region: nothing of the process's own.
  if ((hi & PM_HI_SWAP) === 0 || (hi & PM_HI_GUARD_REGION) !== 0) return otherwise;
  // A write-protected page in swap and a marker look alike; a file's page is on its way elsewhere in memory.
  if (swapTypesEnd === undefined) return (hi & (PM_HI_UFFD_WP | PM_HI_FILE)) === 0 ? SWAPPED : UNKNOWN;
  if (type < swapTypesEnd) return SWAPPED;
  if (type !== markerType) return UNKNOWN;
  return (hi & markerFlags) === markerFlags ? otherwise | MARKED : otherwise;
}

const ofNobodyToAsk: Rule = () => UNKNOWN;
