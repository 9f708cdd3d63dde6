/** The pages of shmem objects (`mm/shmem.c`): find or make one, move it to swap and back, remove it. */

import { ERRNO, PAGE_SIZE } from "../abi/index.ts";
import type { Kernel } from "./kernel.ts";
import type { MemoryGroup } from "./memory-group.ts";
import { allocPage, putPage } from "./page-alloc.ts";
import {
  PG_DIRTY,
  PG_LOCKED,
  PG_READAHEAD,
  PG_REFERENCED,
  PG_SWAPBACKED,
  PG_UPTODATE,
  PG_WRITEBACK,
} from "./page-frames.ts";
import { BLOCKED } from "./page-lock.ts";
import { cacheEntryOfSwap, type ShmemObject, swapOfCacheEntry } from "./shmem-object.ts";
import { freeSwapAndCache, goesPastSwapCache, newSwapPage, swapIn } from "./swap-in.ts";
import { unmapMappingRange } from "./zap.ts";

/** What {@link findPage} is to do about a hole (`enum sgp_type`). */
export type ShmemGet =
  /** Leave it: 0 is returned. */
  | "read"
  /** Fill it with a zero page; fails beyond the object's end. */
  | "cache"
  /** The same, for the caller to write to; may extend the object. */
  | "write"
  /** Allocate it without making it content (fallocate). */
  | "fallocate";

/**
 * `shmem_get_folio`: the object's page at `index`, locked and with a reference.
 * 0 for a hole that is only read; else minus an errno (EINVAL beyond the end, ENOMEM), or {@link BLOCKED}.
 * Counts a major fault in `k.majorFault` if the page had to be read from swap.
 */
export function findPage(
  k: Kernel,
  object: ShmemObject,
  index: number,
  get: ShmemGet,
  group: MemoryGroup,
): number {
  const { frames } = k;
  for (;;) {
    if ((get === "read" || get === "cache") && index * PAGE_SIZE >= object.sizeBytes) return -ERRNO.EINVAL;
    k.work.pageCacheLookups++;
    const entry = object.get(index);
    if (entry < 0) {
      const pfn = swapInPage(k, object, index, swapOfCacheEntry(entry));
      if (pfn === 0) continue;
      if (pfn > 0 && get === "write") k.lru.markAccessed(pfn);
      return pfn;
    }
    if (entry > 0) {
      if ((frames.flags[entry] & PG_LOCKED) !== 0) return BLOCKED;
      if ((frames.flags[entry] & PG_UPTODATE) === 0) {
        // Fallocated, not written yet.
        if (get === "read") return 0;
        if (get !== "fallocate") {
          frames.contents.zero(entry);
          frames.flags[entry] |= PG_UPTODATE;
        }
      }
      frames.flags[entry] |= PG_LOCKED;
      frames.refcount[entry]++;
      if (get === "write") k.lru.markAccessed(entry);
      return entry;
    }
    if (get === "read") return 0;
    const pfn = allocPage(k, group);
    if (pfn === 0) return -ERRNO.ENOMEM;
    frames.flags[pfn] = PG_LOCKED | PG_SWAPBACKED;
    if (get === "write") frames.flags[pfn] |= PG_REFERENCED;
    if (get !== "fallocate") {
      frames.contents.zero(pfn);
      frames.flags[pfn] |= PG_UPTODATE;
    }
    addToPageCache(k, object, index, pfn);
    k.lru.add(pfn);
    return pfn;
  }
}

function addToPageCache(k: Kernel, object: ShmemObject, index: number, pfn: number): void {
  const { frames } = k;
  object.set(index, pfn);
  frames.mapping[pfn] = object.id;
  frames.setIndex(pfn, index);
  frames.refcount[pfn]++;
}

/**
 * `shmem_swapin_folio`: brings a page back from swap into the page cache, dirty, because its slot is given up.
 * Locked and with a reference; 0 if the object changed meanwhile; minus ENOMEM, or {@link BLOCKED}.
 */
function swapInPage(k: Kernel, object: ShmemObject, index: number, swapEntry: number): number {
  const { frames, swap } = k;
  const cached = swap.lookUp(swapEntry);
  if (cached > 0) {
    if ((frames.flags[cached] & (PG_LOCKED | PG_WRITEBACK)) !== 0) return BLOCKED;
    if ((frames.flags[cached] & PG_READAHEAD) !== 0) k.readahead.hit(k, cached);
    frames.flags[cached] |= PG_LOCKED;
    frames.refcount[cached]++;
    swap.deleteFromSwapCache(cached);
    return finishSwapIn(k, object, index, swapEntry, cached);
  }
  const isTaken = goesPastSwapCache(k, swapEntry);
  const pfn = isTaken ? newSwapPage(k, swapEntry) : swapIn(k, swapEntry);
  if (pfn === 0) return -ERRNO.ENOMEM;
  if (object.get(index) !== cacheEntryOfSwap(swapEntry)) {
    // Reclaim for the new page, or another task, came between.
    frames.flags[pfn] &= ~PG_LOCKED;
    putPage(k, pfn);
    return 0;
  }
  k.majorFault = true;
  // The slot is given up below: nobody will read it again.
  if (isTaken) swap.take(swapEntry, pfn);
  else swap.deleteFromSwapCache(pfn);
  return finishSwapIn(k, object, index, swapEntry, pfn);
}

function finishSwapIn(k: Kernel, object: ShmemObject, index: number, swapEntry: number, pfn: number): number {
  addToPageCache(k, object, index, pfn);
  k.frames.flags[pfn] |= PG_DIRTY;
  k.swap.release(swapEntry);
  return pfn;
}

/** The first half of `shmem_writepage`: the page leaves the page cache for a slot in swap. False if there is none. */
export function moveToSwapCache(k: Kernel, pfn: number): boolean {
  const { frames } = k;
  if ((frames.flags[pfn] & PG_UPTODATE) === 0) {
    // Fallocated: swap has no way to say so, the page becomes content.
    frames.contents.zero(pfn);
    frames.flags[pfn] |= PG_UPTODATE;
  }
  const entry = k.swap.addToSwapCache(pfn);
  if (entry === 0) return false;
  k.swap.duplicate(entry);
  k.object(frames.mapping[pfn]).set(frames.index(pfn), cacheEntryOfSwap(entry));
  frames.mapping[pfn] = 0;
  frames.refcount[pfn]--;
  return true;
}

/** Takes a page out of the page cache; its place is a hole then. */
export function removeFromPageCache(k: Kernel, pfn: number): void {
  const { frames } = k;
  k.object(frames.mapping[pfn]).set(frames.index(pfn), 0);
  frames.mapping[pfn] = 0;
  putPage(k, pfn);
}

/** Unlocks a page that {@link findPage} gave, and drops its reference. */
export function releasePage(k: Kernel, pfn: number): void {
  k.frames.flags[pfn] &= ~PG_LOCKED;
  putPage(k, pfn);
}

/**
 * `pread` through the descriptor, into `buffer` from byte `position` of the object: no page table is touched.
 * Returns the number of bytes read (fewer at the end), or minus an errno.
 */
export function readObject(
  k: Kernel,
  object: ShmemObject,
  buffer: Uint8Array,
  position: number,
  group: MemoryGroup,
): number {
  const length = Math.max(0, Math.min(buffer.length, object.sizeBytes - position));
  for (let done = 0; done < length; ) {
    const offset = (position + done) % PAGE_SIZE;
    const part = Math.min(length - done, PAGE_SIZE - offset);
    const pfn = findPage(k, object, Math.floor((position + done) / PAGE_SIZE), "read", group);
    if (pfn < 0) return pfn;
    if (pfn === 0 || !k.frames.contents.hasContents) buffer.fill(0, done, done + part);
    else buffer.set(k.frames.contents.bytes(pfn).subarray(offset, offset + part), done);
    if (pfn > 0) {
      if (offset === 0) k.lru.markAccessed(pfn);
      releasePage(k, pfn);
    }
    done += part;
  }
  return length;
}

/** `pwrite` through the descriptor. Returns the number of bytes written, or minus an errno if none was. */
export function writeObject(
  k: Kernel,
  object: ShmemObject,
  buffer: Uint8Array,
  position: number,
  group: MemoryGroup,
): number {
  object.changes++;
  for (let done = 0; done < buffer.length; ) {
    const offset = (position + done) % PAGE_SIZE;
    const part = Math.min(buffer.length - done, PAGE_SIZE - offset);
    const pfn = findPage(k, object, Math.floor((position + done) / PAGE_SIZE), "write", group);
    if (pfn < 0) return done > 0 ? done : pfn;
    if (k.frames.contents.hasContents)
      k.frames.contents.bytes(pfn).set(buffer.subarray(done, done + part), offset);
    k.frames.flags[pfn] |= PG_DIRTY;
    releasePage(k, pfn);
    done += part;
    object.sizeBytes = Math.max(object.sizeBytes, position + done);
  }
  return buffer.length;
}

/** `fallocate`: allocates pages that are neither content nor hole (they are zero, and "reserved"). */
export function fallocateObject(
  k: Kernel,
  object: ShmemObject,
  position: number,
  lengthBytes: number,
  group: MemoryGroup,
): number {
  object.changes++;
  const first = Math.floor(position / PAGE_SIZE);
  const end = Math.ceil((position + lengthBytes) / PAGE_SIZE);
  for (let index = first; index < end; index++) {
    const pfn = findPage(k, object, index, "fallocate", group);
    if (pfn < 0) {
      removeReserved(k, object, first, index);
      return pfn;
    }
    k.frames.flags[pfn] |= PG_DIRTY;
    releasePage(k, pfn);
  }
  object.sizeBytes = Math.max(object.sizeBytes, position + lengthBytes);
  return 0;
}

/** `shmem_undo_range` after a fallocate that failed: the pages that are not content go, those reserved before too. */
function removeReserved(k: Kernel, object: ShmemObject, first: number, end: number): void {
  const { frames } = k;
  for (let index = object.nextEntry(first, end); index < end; index = object.nextEntry(index + 1, end)) {
    const entry = object.get(index);
    if (entry > 0 && (frames.flags[entry] & (PG_UPTODATE | PG_LOCKED)) === 0) removeFromPageCache(k, entry);
  }
}

/** `shmem_undo_range`: removes pages `first` to `end` of the object from memory and swap. They must be unmapped. */
function removePages(k: Kernel, object: ShmemObject, first: number, end: number): number {
  const { frames } = k;
  for (let index = object.nextEntry(first, end); index < end; index = object.nextEntry(index + 1, end)) {
    const entry = object.get(index);
    if (entry < 0) {
      object.set(index, 0);
      freeSwapAndCache(k, swapOfCacheEntry(entry));
      continue;
    }
    if ((frames.flags[entry] & PG_LOCKED) !== 0) return BLOCKED;
    frames.flags[entry] &= ~PG_DIRTY;
    removeFromPageCache(k, entry);
  }
  return 0;
}

/** A part of a page that stays: from byte `from` to `to` of the object, within one page. */
interface PagePart {
  readonly from: number;
  readonly to: number;
}

/** Zeroes parts of pages that stay: all of them, or none if there is no memory to bring them in. */
function zeroParts(k: Kernel, object: ShmemObject, parts: readonly PagePart[]): number {
  const found: { readonly pfn: number; readonly part: PagePart }[] = [];
  let error = 0;
  for (const part of parts) {
    const index = Math.floor(part.from / PAGE_SIZE);
    if (part.to <= part.from || object.get(index) === 0) continue;
    const pfn = findPage(k, object, index, "write", k.groups.root);
    if (pfn < 0) error = pfn;
    else found.push({ pfn, part });
  }
  for (const { pfn, part } of found) {
    const base = Math.floor(part.from / PAGE_SIZE) * PAGE_SIZE;
    if (error === 0 && k.frames.contents.hasContents)
      k.frames.contents.bytes(pfn).fill(0, part.from - base, part.to - base);
    k.frames.flags[pfn] |= PG_DIRTY;
    releasePage(k, pfn);
  }
  return error;
}

/** `fallocate(FALLOC_FL_PUNCH_HOLE)`: whole pages become holes, in all processes; parts of pages become zero. */
export function punchHole(k: Kernel, object: ShmemObject, position: number, lengthBytes: number): number {
  object.changes++;
  const last = position + lengthBytes;
  const first = Math.ceil(position / PAGE_SIZE);
  const end = Math.floor(last / PAGE_SIZE);
  const parts =
    first > end
      ? [{ from: position, to: last }]
      : [
          { from: position, to: first * PAGE_SIZE },
          { from: end * PAGE_SIZE, to: last },
        ];
  const error = zeroParts(k, object, parts);
  if (error !== 0 || end <= first) return error;
  unmapMappingRange(k, object, first, end, "shared");
  return removePages(k, object, first, end);
}

/** `ftruncate`: pages beyond the new end are removed, private copies of them included; the rest of the last is zero. */
export function truncateObject(k: Kernel, object: ShmemObject, sizeBytes: number): number {
  object.changes++;
  const was = object.sizeBytes;
  if (sizeBytes <= was) {
    const first = Math.ceil(sizeBytes / PAGE_SIZE);
    const error = zeroParts(k, object, [{ from: sizeBytes, to: first * PAGE_SIZE }]);
    if (error !== 0) return error;
    object.sizeBytes = sizeBytes;
    const end = Number.MAX_SAFE_INTEGER;
    if (was > first * PAGE_SIZE) unmapMappingRange(k, object, first, end, "private copies too");
    const removed = removePages(k, object, first, end);
    if (removed !== 0) return removed;
    object.dropLeavesFrom(first);
  }
  object.sizeBytes = sizeBytes;
  return 0;
}

/** Frees an object that neither a descriptor nor an area holds any more. */
export function dropIfUnused(k: Kernel, object: ShmemObject): void {
  if (!object.isUnused) return;
  removePages(k, object, 0, Number.MAX_SAFE_INTEGER);
  k.forgetObject(object);
}

/** `shmem_unuse`: brings every page of the area's that the object has there back into the page cache. */
export function unuseObject(
  k: Kernel,
  object: ShmemObject,
  isOfArea: (swapEntry: number) => boolean,
): number {
  const end = Number.MAX_SAFE_INTEGER;
  for (let index = object.nextEntry(0, end); index < end; index = object.nextEntry(index + 1, end)) {
    const entry = object.get(index);
    if (entry >= 0 || !isOfArea(swapOfCacheEntry(entry))) continue;
    // Beyond the object's end nothing is left in swap: truncation removed it. So "cache" finds it.
    const pfn = findPage(k, object, index, "cache", k.groups.root);
    if (pfn < 0) return pfn;
    if (pfn > 0) releasePage(k, pfn);
  }
  return 0;
}

/**
 * Whether the object's page is in memory, in the page cache or the swap cache, with contents (`find_get_incore_page`).
 */
export function isInCore(k: Kernel, object: ShmemObject, index: number): boolean {
  k.work.pageCacheLookups++;
  const entry = object.get(index);
  if (entry < 0) return k.swap.lookUp(swapOfCacheEntry(entry)) > 0;
  return entry > 0 && (k.frames.flags[entry] & PG_UPTODATE) !== 0;
}

/** `filemap_cachestat`: pages of a range that are in the page cache, and pages in swap. */
export function cachestat(object: ShmemObject, first: number, pages: number) {
  const end = first + pages;
  let cached = 0;
  let evicted = 0;
  for (let index = object.nextEntry(first, end); index < end; index = object.nextEntry(index + 1, end)) {
    if (object.get(index) > 0) cached++;
    else evicted++;
  }
  return { cached, evicted };
}

/** `mapping_seek_hole_data`: calls back for each run of pages that have content, in memory or in swap. */
export function forEachData(
  k: Kernel,
  object: ShmemObject,
  first: number,
  pages: number,
  run: (first: number, pages: number) => void,
): void {
  const end = Math.min(first + pages, object.sizePages);
  let start = first;
  let next = first;
  for (let index = object.nextEntry(first, end); index < end; index = object.nextEntry(index + 1, end)) {
    const entry = object.get(index);
    if (entry > 0 && (k.frames.flags[entry] & PG_UPTODATE) === 0) continue;
    if (index !== next) {
      if (next > start) run(start, next - start);
      start = index;
    }
    next = index + 1;
  }
  if (next > start) run(start, next - start);
}

/** How an object's page is kept, in the four-way terms of the project's page states. */
export type ShmemPageState = "cached" | "swap-cached" | "swapped" | "reserved" | "hole";

export function pageState(k: Kernel, object: ShmemObject, index: number): ShmemPageState {
  const entry = object.get(index);
  if (entry === 0) return "hole";
  if (entry < 0) return k.swap.lookUp(swapOfCacheEntry(entry)) > 0 ? "swap-cached" : "swapped";
  return (k.frames.flags[entry] & PG_UPTODATE) !== 0 ? "cached" : "reserved";
}

/** The frame that holds the object's page, in the page cache or the swap cache; -1 if none. */
export function frameOf(k: Kernel, object: ShmemObject, index: number): number {
  const entry = object.get(index);
  const pfn = entry < 0 ? k.swap.lookUp(swapOfCacheEntry(entry)) : entry;
  return pfn > 0 ? pfn : -1;
}
