/**
 * Swap areas, their slots, and the swap cache (`mm/swapfile.c`, `mm/swap_state.c`).
 *
 * A swap entry is packed in 31 bits: the area's number over 26 bits of slot. A slot's count is the number of
 * PTEs and page-cache entries that name it; besides, it may have a page in the swap cache. It is free when it
 * has neither.
 */

import { ConfigError } from "./config.ts";
import type { MemoryGroups } from "./memory-group.ts";
import { type PageFrames, PG_DIRTY, PG_SWAPCACHE } from "./page-frames.ts";
import type { SwapDevice } from "./swap-device/device.ts";
import type { Vmstat, Work } from "./vmstat.ts";

const SLOT_BITS = 26;
const SLOT_MASK = 2 ** SLOT_BITS - 1;
export const SWAP_SLOTS_MAX = 2 ** SLOT_BITS;
const COUNT_MAX = 0xffff;

export function swapArea(entry: number): number {
  return entry >>> SLOT_BITS;
}

export function swapSlot(entry: number): number {
  return entry & SLOT_MASK;
}

export function packSwapEntry(area: number, slot: number): number {
  return (area << SLOT_BITS) | slot;
}

/** One swap area (`struct swap_info_struct`). */
export class SwapArea {
  /** Its number: the type in a swap entry. */
  readonly type: number;
  readonly device: SwapDevice;
  /** Areas of higher priority are filled first. */
  readonly priority: number;
  /** Whether new slots may be taken: false once swapoff has begun. */
  writeOk = true;
  usedSlots = 0;
  readonly counts: Uint16Array;
  /** The page in the swap cache, or 0. Of a free slot: minus the next free slot (0 ends the list). */
  readonly cache: Int32Array;
  /** The memory group that was charged for the page, to be charged again when it comes back. */
  readonly group: Uint8Array;
  #freeHead = 0;
  #freeTail = 0;
  #unused = 1;

  constructor(type: number, device: SwapDevice, priority: number) {
    this.type = type;
    this.device = device;
    this.priority = priority;
    this.counts = new Uint16Array(device.slots);
    this.cache = new Int32Array(device.slots);
    this.group = new Uint8Array(device.slots);
  }

  get sizeSlots(): number {
    return this.device.slots - 1;
  }

  /** Makes all slots free and as if never used; whoever names one must forget it. */
  reset(): void {
    for (let slot = 1; slot < this.#unused; slot++) {
      this.counts[slot] = 0;
      this.cache[slot] = 0;
      this.group[slot] = 0;
    }
    this.usedSlots = 0;
    this.#freeHead = 0;
    this.#freeTail = 0;
    this.#unused = 1;
  }

  /**
   * Takes a free slot: the one that has been free longest, so that runs stay together. 0 if there is none.
   */
  takeSlot(): number {
    let slot = this.#freeHead;
    if (slot !== 0) {
      this.#freeHead = -this.cache[slot];
      if (this.#freeHead === 0) this.#freeTail = 0;
      this.cache[slot] = 0;
    } else if (this.#unused < this.device.slots) slot = this.#unused++;
    else return 0;
    this.usedSlots++;
    return slot;
  }

  freeSlot(slot: number): void {
    this.cache[slot] = 0;
    if (this.#freeTail === 0) this.#freeHead = slot;
    else this.cache[this.#freeTail] = -slot;
    this.#freeTail = slot;
    this.usedSlots--;
    this.device.free(slot);
  }

  /** Slots from this up have never been used. */
  get unusedFrom(): number {
    return this.#unused;
  }
}

/** All swap areas and the swap cache. */
export class Swap {
  readonly #frames: PageFrames;
  readonly #groups: MemoryGroups;
  readonly #vmstat: Vmstat;
  readonly #work: Work;
  readonly #areas: (SwapArea | undefined)[] = [];
  /** Swap types below this are areas. */
  readonly areasMax: number;
  /** Areas in the order in which they are filled. */
  #byPriority: SwapArea[] = [];

  constructor(frames: PageFrames, groups: MemoryGroups, vmstat: Vmstat, work: Work, areasMax: number) {
    this.#frames = frames;
    this.#groups = groups;
    this.#vmstat = vmstat;
    this.#work = work;
    this.areasMax = areasMax;
  }

  get areas(): readonly SwapArea[] {
    return this.#byPriority;
  }

  area(entry: number): SwapArea {
    return this.#areas[swapArea(entry)] as SwapArea;
  }

  /** Adds an area, of lower priority than those there are unless `priority` says otherwise. */
  addArea(device: SwapDevice, priority?: number): SwapArea {
    if (device.slots > SWAP_SLOTS_MAX)
      throw new ConfigError(
        `swap device: ${device.slots} slots, ${SWAP_SLOTS_MAX} is the most for one area; use several`,
      );
    let type = this.#areas.indexOf(undefined);
    if (type < 0) type = this.#areas.length;
    if (type >= this.areasMax) throw new ConfigError(`swap: there can be ${this.areasMax} areas at the most`);
    const lowest = this.#byPriority.at(-1)?.priority ?? -1;
    const area = new SwapArea(type, device, priority ?? Math.min(lowest, 0) - 1);
    this.#areas[type] = area;
    this.#byPriority = [...this.#byPriority, area].sort((a, b) => b.priority - a.priority);
    return area;
  }

  /** Forgets an area, which must be empty. */
  removeArea(area: SwapArea): void {
    if (area.usedSlots !== 0)
      throw new Error(`swap area ${area.type} still has ${area.usedSlots} slots in use`);
    this.#areas[area.type] = undefined;
    this.#byPriority = this.#byPriority.filter((other) => other !== area);
  }

  /** Whether there is anywhere to swap to, full or not (`total_swap_pages`). */
  get isOn(): boolean {
    return this.#byPriority.some((area) => area.writeOk);
  }

  get freeSlots(): number {
    return this.#byPriority.reduce(
      (sum, area) => sum + (area.writeOk ? area.sizeSlots - area.usedSlots : 0),
      0,
    );
  }

  /** `vm_swap_full`: more than half used, so that a page's slot is given up once the page is back. */
  get isFull(): boolean {
    let used = 0;
    let total = 0;
    for (const area of this.#byPriority) {
      used += area.usedSlots;
      total += area.sizeSlots;
    }
    return used * 2 > total;
  }

  /**
   * `folio_alloc_swap` and `add_to_swap_cache`: finds a slot for the page and puts the page in the swap cache
   * there. Returns the entry, whose count is still 0; or 0 if swap is full or off. (No entry is 0: slot 0 is
   * the header.)
   */
  addToSwapCache(pfn: number): number {
    for (const area of this.#byPriority) {
      if (!area.writeOk) continue;
      const slot = area.takeSlot();
      if (slot === 0) continue;
      const entry = packSwapEntry(area.type, slot);
      this.#cache(area, slot, entry, pfn);
      area.group[slot] = this.#frames.group[pfn];
      return entry;
    }
    return 0;
  }

  #cache(area: SwapArea, slot: number, entry: number, pfn: number): void {
    area.cache[slot] = pfn;
    this.#frames.swapEntry[pfn] = entry;
    this.#frames.flags[pfn] |= PG_SWAPCACHE;
    this.#frames.refcount[pfn]++;
  }

  /** Puts a page that was read from `entry` in the swap cache. */
  cacheRead(entry: number, pfn: number): void {
    this.#cache(this.area(entry), swapSlot(entry), entry, pfn);
  }

  /** The page in the swap cache for `entry`, or 0. */
  lookUp(entry: number): number {
    return this.area(entry).cache[swapSlot(entry)];
  }

  /**
   * `delete_from_swap_cache`: takes the page out, and drops the cache's reference; frees the slot if nothing
   * names it.
   */
  deleteFromSwapCache(pfn: number): void {
    const entry = this.#frames.swapEntry[pfn];
    const area = this.area(entry);
    const slot = swapSlot(entry);
    area.cache[slot] = 0;
    this.#frames.swapEntry[pfn] = 0;
    this.#frames.flags[pfn] &= ~PG_SWAPCACHE;
    this.#frames.refcount[pfn]--;
    if (area.counts[slot] === 0) area.freeSlot(slot);
  }

  count(entry: number): number {
    return this.area(entry).counts[swapSlot(entry)];
  }

  /** `swap_duplicate`: one more PTE or page-cache entry names the slot. */
  duplicate(entry: number): void {
    const { counts } = this.area(entry);
    const slot = swapSlot(entry);
    if (counts[slot] === COUNT_MAX) throw new Error(`swap slot ${slot}: more than ${COUNT_MAX} references`);
    counts[slot]++;
  }

  /** `swap_free`: one fewer names the slot. */
  release(entry: number): void {
    const area = this.area(entry);
    const slot = swapSlot(entry);
    if (--area.counts[slot] === 0 && area.cache[slot] === 0) area.freeSlot(slot);
  }

  /** `folio_free_swap`: gives up the slot of a page that nothing else names; the page becomes dirty. */
  freeSwapOf(pfn: number): boolean {
    if (this.count(this.#frames.swapEntry[pfn]) !== 0) return false;
    this.deleteFromSwapCache(pfn);
    this.#frames.flags[pfn] |= PG_DIRTY;
    return true;
  }

  /** Reads the slot into the page. */
  read(entry: number, pfn: number): void {
    this.#countRead();
    this.area(entry).device.read(swapSlot(entry), this.#frames.contents, pfn);
  }

  /** The same, where nothing will read the slot again. */
  take(entry: number, pfn: number): void {
    this.#countRead();
    const { device } = this.area(entry);
    if (device.take === undefined) device.read(swapSlot(entry), this.#frames.contents, pfn);
    else device.take(swapSlot(entry), this.#frames.contents, pfn);
  }

  #countRead(): void {
    this.#vmstat.pswpin++;
    this.#work.swapReads++;
  }

  /** Writes the page to its slot. */
  write(pfn: number): void {
    this.#countWrite();
    const entry = this.#frames.swapEntry[pfn];
    this.area(entry).device.write(swapSlot(entry), this.#frames.contents, pfn);
  }

  /** The same, where the page is freed next. */
  give(pfn: number): void {
    this.#countWrite();
    const entry = this.#frames.swapEntry[pfn];
    const { device } = this.area(entry);
    if (device.give === undefined) device.write(swapSlot(entry), this.#frames.contents, pfn);
    else device.give(swapSlot(entry), this.#frames.contents, pfn);
  }

  /**
   * Undoes a {@link give}: the page has its bytes again, and the slot too. No read of the device's, in truth.
   */
  readBack(pfn: number): void {
    const entry = this.#frames.swapEntry[pfn];
    this.area(entry).device.read(swapSlot(entry), this.#frames.contents, pfn);
  }

  #countWrite(): void {
    this.#vmstat.pswpout++;
    this.#work.swapWrites++;
  }

  /** The group to be charged when `entry` is read. */
  groupOf(entry: number) {
    return this.#groups.get(this.area(entry).group[swapSlot(entry)]);
  }
}
