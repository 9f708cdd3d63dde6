/**
 * 4-level page tables. Every table, of all processes, is 512 entries of 64 bits in one pool; entries are the
 * hardware's own bytes (`abi/pte.ts`), at the upper levels too, where the "frame" is the number of the next
 * table.
 *
 * An entry of a PTE table is reached as `chunk = pool.chunkOf(table)`, `i = entryOffset(table, vpn)`:
 * its words are `chunk[i]` (low) and `chunk[i + 1]` (high). Hot loops do just that.
 */

import { isPteNone, PTE_ACCESSED, PTE_DIRTY, PTE_PRESENT, PTE_RW, PTE_USER } from "../abi/index.ts";
import type { Work } from "./vmstat.ts";

export const PTRS_PER_TABLE = 512;

const WORDS_PER_TABLE = PTRS_PER_TABLE * 2;
const TABLES_PER_CHUNK_SHIFT = 4;
const TABLES_PER_CHUNK = 1 << TABLES_PER_CHUNK_SHIFT;
const TABLE_FLAGS = PTE_PRESENT | PTE_RW | PTE_USER | PTE_ACCESSED | PTE_DIRTY;

/** Pages that one entry covers, at the page directory (PMD), PUD and PGD level. */
const PMD_PAGES = 2 ** 9;
const PUD_PAGES = 2 ** 18;
const PGD_PAGES = 2 ** 27;
/** Pages that all of the top table covers. */
const MAPPABLE_PAGES = PGD_PAGES * PTRS_PER_TABLE;

/**
 * Behind its tables, a chunk has a word for each: how often it was written, so that what was read off it can
 * be kept.
 */
const VERSIONS = TABLES_PER_CHUNK * WORDS_PER_TABLE;
const CHUNK_WORDS = VERSIONS + TABLES_PER_CHUNK;

/** All page tables of a machine. Table numbers start at 1; 0 is "no table". */
export class PageTablePool {
  readonly #work: Work;
  readonly #chunks: Uint32Array[] = [];
  readonly #free: number[] = [];
  #used = 1;

  constructor(work: Work) {
    this.#work = work;
  }

  /** A table of empty entries. */
  take(): number {
    const table = this.#free.pop() ?? this.#used++;
    if (table >>> TABLES_PER_CHUNK_SHIFT === this.#chunks.length)
      this.#chunks.push(new Uint32Array(CHUNK_WORDS));
    this.#work.pageTables++;
    return table;
  }

  giveBack(table: number): void {
    const base = entryOffset(table, 0);
    const chunk = this.chunkOf(table);
    chunk.fill(0, base, base + WORDS_PER_TABLE);
    chunk[VERSIONS + (base >>> 10)]++;
    this.#free.push(table);
  }

  /**
   * Writes the PTE at `chunk[i]`: the only way to, but for the accessed and dirty bits that the processor
   * sets, which nobody is told of.
   */
  write(chunk: Uint32Array, i: number, lo: number, hi: number): void {
    chunk[i] = lo;
    chunk[i + 1] = hi;
    chunk[VERSIONS + (i >>> 10)]++;
    this.#work.pteWrites++;
  }

  countReads(entries: number): void {
    this.#work.pteReads += entries;
  }

  /** Changes with every write to a table. */
  version(table: number): number {
    return this.chunkOf(table)[VERSIONS + (table & (TABLES_PER_CHUNK - 1))];
  }

  chunkOf(table: number): Uint32Array {
    return this.#chunks[table >>> TABLES_PER_CHUNK_SHIFT];
  }

  /** Tables in use. */
  get inUse(): number {
    return this.#used - 1 - this.#free.length;
  }

  get allocatedBytes(): number {
    return this.#chunks.length * CHUNK_WORDS * 4;
  }
}

/** The page number at which the PTE table of `vpn` starts. */
export function tableStart(vpn: number): number {
  // Page numbers exceed 32 bits, and the remainder of a double (%) is a call: this is several times faster.
  return Math.floor(vpn * (1 / PMD_PAGES)) * PMD_PAGES;
}

/** The page number at which the PTE table of `vpn` ends. */
export function tableEnd(vpn: number): number {
  return tableStart(vpn) + PMD_PAGES;
}

/** Where in its chunk the entry of `vpn` (a virtual page number) is in `table`, a PTE table. */
export function entryOffset(table: number, vpn: number): number {
  return ((table & (TABLES_PER_CHUNK - 1)) << 10) | ((vpn - tableStart(vpn)) << 1);
}

/** The page tables of one address space. */
export class PageTables {
  readonly pool: PageTablePool;
  /** The top table; 0, which has no entries, once the address space is gone. */
  #pgd: number;
  /** The last PTE table found, and the 2 MiB region it maps. */
  #lastRegion = -1;
  #lastTable = 0;

  constructor(pool: PageTablePool) {
    this.pool = pool;
    this.#pgd = pool.take();
  }

  #next(table: number, index: number): number {
    const chunk = this.pool.chunkOf(table);
    const i = entryOffset(table, index);
    return (chunk[i] >>> 12) | (chunk[i + 1] << 20);
  }

  #nextOrMake(table: number, index: number): number {
    const next = this.#next(table, index);
    if (next !== 0) return next;
    const made = this.pool.take();
    const chunk = this.pool.chunkOf(table);
    const i = entryOffset(table, index);
    chunk[i] = (made << 12) | TABLE_FLAGS;
    chunk[i + 1] = made >>> 20;
    return made;
  }

  /** The PTE table that covers `vpn`, or 0 if there is none. */
  find(vpn: number): number {
    const region = Math.floor(vpn * (1 / PMD_PAGES));
    if (region === this.#lastRegion) return this.#lastTable;
    // An access may be to anywhere; the index into a table wraps around.
    if (!(vpn >= 0 && vpn < MAPPABLE_PAGES)) return 0;
    const pud = this.#next(this.#pgd, Math.floor(vpn / PGD_PAGES));
    if (pud === 0) return 0;
    const pmd = this.#next(pud, Math.floor(vpn / PUD_PAGES));
    if (pmd === 0) return 0;
    const table = this.#next(pmd, region);
    if (table === 0) return 0;
    this.#lastRegion = region;
    this.#lastTable = table;
    return table;
  }

  /** The PTE table that covers `vpn`, made if there is none. */
  ensure(vpn: number): number {
    const found = this.find(vpn);
    if (found !== 0) return found;
    const pud = this.#nextOrMake(this.#pgd, Math.floor(vpn / PGD_PAGES));
    const pmd = this.#nextOrMake(pud, Math.floor(vpn / PUD_PAGES));
    const region = Math.floor(vpn / PMD_PAGES);
    const table = this.#nextOrMake(pmd, region);
    this.#lastRegion = region;
    this.#lastTable = table;
    return table;
  }

  /** The first entry of a table from `index` on that is in use; PTRS_PER_TABLE if none is. */
  #nextUsed(table: number, index: number): number {
    const chunk = this.pool.chunkOf(table);
    const base = entryOffset(table, 0);
    let i = index;
    while (i < PTRS_PER_TABLE && chunk[base + (i << 1)] === 0) i++;
    return i;
  }

  /**
   * The first page from `vpn` on, below `end`, that has a PTE table; `end` if none has. Skips what is empty.
   */
  skipToTable(vpn: number, end: number): number {
    while (vpn < end) {
      if (Math.floor(vpn / PMD_PAGES) === this.#lastRegion) return vpn;
      const pgdIndex = Math.floor(vpn / PGD_PAGES);
      const inPgd = this.#nextUsed(this.#pgd, pgdIndex);
      if (inPgd > pgdIndex) vpn = inPgd * PGD_PAGES;
      if (inPgd === PTRS_PER_TABLE || vpn >= end) return end;
      const pud = this.#next(this.#pgd, inPgd);
      const pudIndex = Math.floor((vpn - inPgd * PGD_PAGES) / PUD_PAGES);
      const inPud = this.#nextUsed(pud, pudIndex);
      if (inPud > pudIndex) vpn = inPgd * PGD_PAGES + inPud * PUD_PAGES;
      if (inPud === PTRS_PER_TABLE) continue;
      if (vpn >= end) return end;
      const pudStart = inPgd * PGD_PAGES + inPud * PUD_PAGES;
      const pmdIndex = Math.floor((vpn - pudStart) / PMD_PAGES);
      const inPmd = this.#nextUsed(this.#next(pud, inPud), pmdIndex);
      if (inPmd > pmdIndex) vpn = pudStart + inPmd * PMD_PAGES;
      if (inPmd < PTRS_PER_TABLE) return Math.min(vpn, end);
    }
    return end;
  }

  /** Visits the entries of pages `start` to `end` that are not none. For all but the hottest loops. */
  forEach(start: number, end: number, visit: (vpn: number, chunk: Uint32Array, i: number) => void): void {
    for (let vpn = this.skipToTable(start, end); vpn < end; vpn = this.skipToTable(vpn, end)) {
      const table = this.find(vpn);
      const chunk = this.pool.chunkOf(table);
      const stop = Math.min(end, tableEnd(vpn));
      this.pool.countReads(stop - vpn);
      for (let i = entryOffset(table, vpn); vpn < stop; vpn++, i += 2)
        if (!isPteNone(chunk[i], chunk[i + 1])) visit(vpn, chunk, i);
    }
  }

  /**
   * Frees the PTE tables that lie wholly within pages `start` to `end`, and upper tables that become empty
   * in that range. The entries must have been zapped.
   */
  freeTables(start: number, end: number): void {
    this.#freeLevel(this.#pgd, PGD_PAGES, 0, start, end);
    this.#lastRegion = -1;
    this.#lastTable = 0;
  }

  /**
   * Frees what the children of `table` (whose entries cover `span` pages from `base`) have within the range.
   */
  #freeLevel(table: number, span: number, base: number, start: number, end: number): void {
    const first = Math.max(0, Math.floor((start - base) / span));
    const last = Math.min(PTRS_PER_TABLE - 1, Math.ceil((end - base) / span) - 1);
    for (let index = this.#nextUsed(table, first); index <= last; index = this.#nextUsed(table, index + 1)) {
      const child = this.#next(table, index);
      const from = base + index * span;
      if (span > PMD_PAGES) this.#freeLevel(child, span / PTRS_PER_TABLE, from, start, end);
      if (from < start || from + span > end) continue;
      const i = entryOffset(table, index);
      this.pool.chunkOf(table).fill(0, i, i + 2);
      this.pool.giveBack(child);
    }
  }

  /** Frees every table, the top one included. The address space is gone then. */
  destroy(): void {
    this.freeTables(0, MAPPABLE_PAGES);
    this.pool.giveBack(this.#pgd);
    this.#pgd = 0;
  }
}
