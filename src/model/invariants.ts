/** What is always true, recomputed from scratch and compared. */

import { isPtePresent, markerBits, PTE_RW, PTE_UFFD_WP } from "../abi/index.ts";
import { isMarker, pteSwapEntry } from "./entries.ts";
import type { Kernel } from "./kernel.ts";
import { LRU_LISTS } from "./lru.ts";
import {
  PG_ACTIVE,
  PG_ANON,
  PG_ANON_EXCLUSIVE,
  PG_DIRTY,
  PG_LOCKED,
  PG_LRU,
  PG_SWAPBACKED,
  PG_SWAPCACHE,
  PG_WRITEBACK,
  ZERO_PFN,
} from "./page-frames.ts";
import { ChunkedPageStore } from "./page-store.ts";
import { collectMappers } from "./rmap.ts";
import { swapOfCacheEntry } from "./shmem-object.ts";
import { packSwapEntry, swapArea, swapSlot } from "./swap.ts";
import { VM_SHARED, VM_UFFD_WP, VM_WRITE, type Vma } from "./vma.ts";

const USER_PAGES = 2 ** 36;

/** One of the invariants does not hold: a bug of the model. */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

function must(holds: boolean, what: () => string): void {
  if (!holds) throw new InvariantError(what());
}

/** Counts recomputed from page tables and page caches. */
interface Census {
  readonly mapcount: Int32Array;
  /** Page-cache and swap-cache references. */
  readonly cacheRefs: Int32Array;
  /** References to swap slots, by packed entry. */
  readonly swapRefs: Map<number, number>;
}

/**
 * Throws an {@link InvariantError} unless everything fits. `tasksInFlight`: faults or page-outs are half done, and may
 * hold references and pages off the lists.
 */
export function checkInvariants(k: Kernel, tasksInFlight = false): void {
  const n = k.frames.sizePages + 1;
  const census: Census = {
    mapcount: new Int32Array(n),
    cacheRefs: new Int32Array(n),
    swapRefs: new Map(),
  };
  countPageTables(k, census);
  countPageCaches(k, census);
  checkSwap(k, census);
  checkFrames(k, census, tasksInFlight);
}

function addSwapRef(census: Census, entry: number): void {
  census.swapRefs.set(entry, (census.swapRefs.get(entry) ?? 0) + 1);
}

function countPageTables(k: Kernel, census: Census): void {
  for (const mm of k.mms) {
    let end = 0;
    for (const vma of mm.vmas) {
      must(
        vma.start >= end && vma.end > vma.start,
        () => `process ${mm.id}: areas overlap at page ${vma.start}`,
      );
      checkLink(vma);
      end = vma.end;
    }
    let position = 0;
    mm.pageTables.forEach(0, USER_PAGES, (vpn, chunk, i) => {
      while (position < mm.vmas.length && mm.vmas[position].end <= vpn) position++;
      const vma = mm.vmas[position];
      // No entry, a marker included, outlives its area.
      must(
        vma !== undefined && vma.start <= vpn,
        () => `process ${mm.id}: page ${vpn} has an entry and is in no area`,
      );
      countPte(k, census, vma, vpn, chunk[i], chunk[i + 1]);
    });
  }
}

function checkLink(vma: Vma): void {
  if (vma.object === null) return;
  const mappers: Vma[] = [];
  vma.object.mappings.collect(vma.pgoff, vma.pgoff, mappers);
  must(
    mappers.includes(vma),
    () => `process ${vma.mm.id}: the area at page ${vma.start} is not among its object's`,
  );
}

function countPte(k: Kernel, census: Census, vma: Vma, vpn: number, lo: number, hi: number): void {
  const where = (): string => `process ${vma.mm.id}, page ${vpn}`;
  if (isPtePresent(lo)) {
    const pfn = (lo >>> 12) | (hi << 20);
    if (pfn === ZERO_PFN) return;
    census.mapcount[pfn]++;
    checkMapped(k, vma, vpn, pfn, lo, where);
  } else if (isMarker(k, lo, hi)) {
    const { UFFD_WP, PAGEOUT, POISONED, GUARD } = k.markers;
    const bits = markerBits(lo, hi);
    must(
      bits !== 0 && (bits & ~(UFFD_WP | PAGEOUT | POISONED | GUARD)) === 0,
      () => `${where()}: marker bits ${bits}`,
    );
    must(
      (bits & PAGEOUT) === 0 || vma.object !== null,
      () => `${where()}: a PAGEOUT marker in anonymous memory`,
    );
    must((bits & PAGEOUT) === 0 || bits === PAGEOUT, () => `${where()}: PAGEOUT and others in one marker`);
  } else addSwapRef(census, pteSwapEntry(lo, hi));
}

function checkMapped(k: Kernel, vma: Vma, vpn: number, pfn: number, lo: number, where: () => string): void {
  const { frames } = k;
  const isAnon = (frames.flags[pfn] & PG_ANON) !== 0;
  const isExclusive = (frames.flags[pfn] & PG_ANON_EXCLUSIVE) !== 0;
  must(frames.refcount[pfn] > 0, () => `${where()}: maps the free frame ${pfn}`);
  must(
    frames.index(pfn) === vma.indexOf(vpn),
    () => `${where()}: frame ${pfn} has index ${frames.index(pfn)}`,
  );
  must(
    isAnon || vma.object?.id === frames.mapping[pfn],
    () => `${where()}: frame ${pfn} is another object's`,
  );
  must(!isAnon || (vma.flags & VM_SHARED) === 0, () => `${where()}: a private page in a shared mapping`);
  must(
    (lo & PTE_RW) === 0 || (vma.flags & VM_WRITE) !== 0,
    () => `${where()}: writable, and its area is not`,
  );
  must(
    (lo & PTE_RW) === 0 || (lo & PTE_UFFD_WP) === 0 || (vma.flags & VM_UFFD_WP) === 0,
    () => `${where()}: writable, and write-protected by userfaultfd`,
  );
  must(
    (lo & PTE_RW) === 0 || (vma.flags & VM_SHARED) !== 0 || isExclusive,
    () => `${where()}: writable, but frame ${pfn} is not this process' alone`,
  );
  must(
    !isExclusive || frames.mapcount[pfn] === 1,
    () => `${where()}: exclusive frame ${pfn} is mapped more than once`,
  );
  const mappers: Vma[] = [];
  collectMappers(k, pfn, mappers);
  must(
    mappers.includes(vma),
    () => `${where()}: frame ${pfn} would not be found here by its reverse mapping`,
  );
}

function countPageCaches(k: Kernel, census: Census): void {
  const end = Number.MAX_SAFE_INTEGER;
  for (const object of k.objects) {
    let resident = 0;
    let swapped = 0;
    for (let index = object.nextEntry(0, end); index < end; index = object.nextEntry(index + 1, end)) {
      const entry = object.get(index);
      if (entry < 0) {
        swapped++;
        addSwapRef(census, swapOfCacheEntry(entry));
        continue;
      }
      resident++;
      census.cacheRefs[entry]++;
      must(
        k.frames.mapping[entry] === object.id && k.frames.index(entry) === index,
        () => `object ${object.id}, page ${index}: frame ${entry} does not know that it is this page`,
      );
      must(
        (k.frames.flags[entry] & (PG_ANON | PG_SWAPCACHE)) === 0,
        () => `object ${object.id}, page ${index}: frame ${entry} is in the page cache and in swap`,
      );
    }
    must(
      resident === object.residentPages && swapped === object.swappedPages,
      () =>
        `object ${object.id}: counts ${object.residentPages} + ${object.swappedPages}, has ${resident} + ${swapped}`,
    );
  }
}

/** Where a slot's bytes are read to. */
let scratch: ChunkedPageStore | undefined;

function checkSwap(k: Kernel, census: Census): void {
  for (const area of k.swap.areas) {
    let used = 0;
    for (let slot = 1; slot < area.unusedFrom; slot++) {
      const entry = packSwapEntry(area.type, slot);
      const expected = census.swapRefs.get(entry) ?? 0;
      census.swapRefs.delete(entry);
      const pfn = area.cache[slot];
      const where = `swap area ${area.type}, slot ${slot}`;
      must(
        area.counts[slot] === expected,
        () => `${where}: counts ${area.counts[slot]}, is named ${expected} times`,
      );
      if (expected > 0 || pfn > 0) used++;
      if (pfn <= 0) continue;
      census.cacheRefs[pfn]++;
      must(
        (k.frames.flags[pfn] & PG_SWAPCACHE) !== 0 && k.frames.swapEntry[pfn] === entry,
        () => `${where}: frame ${pfn} does not know that it is in the swap cache`,
      );
      if (
        (k.frames.flags[pfn] & (PG_DIRTY | PG_WRITEBACK | PG_LOCKED)) !== 0 ||
        !k.frames.contents.hasContents
      )
        continue;
      scratch ??= new ChunkedPageStore(1);
      area.device.read(slot, scratch, 0);
      const [inSwap, inMemory] = [scratch.bytes(0), k.frames.contents.bytes(pfn)];
      for (let i = 0; i < inMemory.length; i++)
        must(
          inSwap[i] === inMemory[i] || isWrittenSince(k, pfn),
          () => `${where}: differs from its copy in frame ${pfn}`,
        );
    }
    must(
      used === area.usedSlots,
      () => `swap area ${area.type}: counts ${area.usedSlots} used slots, has ${used}`,
    );
  }
  const leaked = [...census.swapRefs.keys()][0];
  must(
    leaked === undefined,
    () => `swap entry ${swapArea(leaked)}:${swapSlot(leaked)} is named and not in use`,
  );
}

/** A mapped page may have been written by the processor, which only marks the PTE. */
function isWrittenSince(k: Kernel, pfn: number): boolean {
  return k.frames.mapcount[pfn] > 0;
}

function checkFrames(k: Kernel, census: Census, tasksInFlight: boolean): void {
  const { frames } = k;
  const free = new Uint8Array(frames.sizePages + 1);
  let freeCount = 0;
  for (const pfn of frames.freeFrames()) {
    must(free[pfn] === 0, () => `frame ${pfn} is free twice`);
    free[pfn] = 1;
    freeCount++;
  }
  must(freeCount === frames.freeCount, () => `${frames.freeCount} frames counted free, ${freeCount} are`);
  const onLists = checkLists(k);
  const usage = new Map<number, number>();
  let offLists = 0;
  for (let pfn = 1; pfn <= frames.sizePages; pfn++) {
    const refs = census.mapcount[pfn] + census.cacheRefs[pfn];
    const flags = frames.flags[pfn];
    must(
      frames.mapcount[pfn] === census.mapcount[pfn],
      () => `frame ${pfn}: mapcount ${frames.mapcount[pfn]}, ${census.mapcount[pfn]} entries map it`,
    );
    must(
      frames.refcount[pfn] === refs || (tasksInFlight && frames.refcount[pfn] > refs),
      () => `frame ${pfn}: refcount ${frames.refcount[pfn]}, ${refs} references`,
    );
    must(
      (free[pfn] === 1) === (frames.refcount[pfn] === 0),
      () => `frame ${pfn}: free and referenced, or neither`,
    );
    if (free[pfn] === 1) continue;
    usage.set(frames.group[pfn], (usage.get(frames.group[pfn]) ?? 0) + 1);
    if ((flags & PG_LRU) === 0) offLists++;
    must(tasksInFlight || (flags & (PG_LOCKED | PG_WRITEBACK)) === 0, () => `frame ${pfn} is still locked`);
  }
  must(tasksInFlight || offLists === 0, () => `${offLists} frames in use are on no list`);
  must(
    freeCount + onLists + offLists === frames.sizePages,
    () => `${freeCount} free + ${onLists} on lists + ${offLists} off is not ${frames.sizePages}`,
  );
  for (const group of k.groups.all)
    must(
      group.usagePages === (usage.get(group.id) ?? 0),
      () => `group ${group.name}: charged ${group.usagePages}, has ${usage.get(group.id) ?? 0}`,
    );
}

/** Each list holds what its pages' flags say, and as many as it counts. Returns how many there are in all. */
function checkLists(k: Kernel): number {
  let all = 0;
  for (const group of k.groups.all)
    for (let list = 0; list < LRU_LISTS; list++) {
      let size = 0;
      for (const pfn of k.lru.pages(group.id, list)) {
        size++;
        const flags = k.frames.flags[pfn];
        const expected = ((flags & PG_SWAPBACKED) === 0 ? 2 : 0) + ((flags & PG_ACTIVE) === 0 ? 0 : 1);
        must(
          (flags & PG_LRU) !== 0 && expected === list && k.frames.group[pfn] === group.id,
          () => `frame ${pfn} is on list ${list} of group ${group.name}, and its flags say otherwise`,
        );
      }
      must(size === k.lru.size(group.id, list), () => `list ${list} of group ${group.name} counts wrong`);
      all += size;
    }
  return all;
}
