/**
 * Encoded entries of whole PTE tables, kept to be copied: a scan that repeats costs what has changed, not what
 * there is.
 * What was encoded holds as long as the table is not written, no page anywhere comes to be mapped once or more than
 * once (its exclusive bit), and the area's own flags are the same.
 */

import { PTRS_PER_TABLE } from "./page-table.ts";

/** How many tables are kept, the latest of those that share a place: 4 GiB of address space. */
const PLACES = 2048;
const WORDS = PTRS_PER_TABLE * 2;

export class PagemapCache {
  readonly #tables = new Int32Array(PLACES);
  readonly #versions = new Uint32Array(PLACES);
  readonly #epochs = new Float64Array(PLACES);
  readonly #areaFlags = new Int32Array(PLACES);
  readonly #words: Uint32Array[] = [];

  /** The table's entries, if they still hold. */
  get(table: number, version: number, epoch: number, areaFlags: number): Uint32Array | undefined {
    const place = table % PLACES;
    const holds =
      this.#tables[place] === table &&
      this.#versions[place] === version &&
      this.#epochs[place] === epoch &&
      this.#areaFlags[place] === areaFlags;
    return holds ? this.#words[place] : undefined;
  }

  /** Room for the table's entries, to be filled now. */
  put(table: number, version: number, epoch: number, areaFlags: number): Uint32Array {
    const place = table % PLACES;
    while (this.#words.length <= place) this.#words.push(new Uint32Array(WORDS));
    this.#tables[place] = table;
    this.#versions[place] = version;
    this.#epochs[place] = epoch;
    this.#areaFlags[place] = areaFlags;
    return this.#words[place];
  }

  get allocatedBytes(): number {
    return this.#words.length * WORDS * 4;
  }
}
