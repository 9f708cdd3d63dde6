/**
 * `/proc/PID/pagemap` (`fs/proc/task_mmu.c`): walks the page table and encodes. Changes nothing, and looks nothing up
 * unless the configuration has PAGEMAP_SHMEM_LOOKUP.
 */

import {
  Errno,
  markerBits,
  PAGEMAP_ENTRY_BYTES,
  PM_HI_FILE,
  PM_HI_GUARD_REGION,
  PM_HI_MMAP_EXCLUSIVE,
  PM_HI_PRESENT,
  PM_HI_SOFT_DIRTY,
  PM_HI_SWAP,
  PM_HI_UFFD_WP,
  PTE_GLOBAL,
  PTE_PRESENT,
  PTE_SOFT_DIRTY,
  PTE_SWP_SOFT_DIRTY,
  PTE_SWP_UFFD_WP,
  PTE_UFFD_WP,
  swapPteOffset,
  swapPteType,
} from "../abi/index.ts";
import { isMarker } from "./entries.ts";
import type { Kernel } from "./kernel.ts";
import { type Mm, TASK_PAGES } from "./mm.ts";
import { PG_ANON } from "./page-frames.ts";
import { entryOffset, PTRS_PER_TABLE, tableEnd } from "./page-table.ts";
import { swapOfCacheEntry } from "./shmem-object.ts";
import { swapArea, swapSlot } from "./swap.ts";
import { VM_SOFTDIRTY, type Vma } from "./vma.ts";

/** The file: entries as a reader with CAP_SYS_ADMIN sees them (with frame numbers, swap types and offsets). */
export class Pagemap {
  readonly #kernel: Kernel;
  readonly #mm: Mm;

  constructor(kernel: Kernel, mm: Mm) {
    this.#kernel = kernel;
    this.#mm = mm;
  }

  /**
   * Reads entries into `buffer` from byte `offset` of the file: (virtual page number * 8). Returns the bytes read,
   * 0 at the end of user addresses. Throws EINVAL unless length and offset are multiples of 8.
   */
  pread(buffer: Uint8Array, offset: number): number {
    if (offset < 0 || offset % PAGEMAP_ENTRY_BYTES !== 0 || buffer.length % PAGEMAP_ENTRY_BYTES !== 0)
      throw new Errno("EINVAL", "pread", "pagemap is read in multiples of 8 bytes");
    const start = offset / PAGEMAP_ENTRY_BYTES;
    const end = Math.min(start + buffer.length / PAGEMAP_ENTRY_BYTES, TASK_PAGES);
    if (end <= start) return 0;
    const bytes = (end - start) * PAGEMAP_ENTRY_BYTES;
    const isAligned = buffer.byteOffset % 4 === 0;
    const words = isAligned
      ? new Uint32Array(buffer.buffer, buffer.byteOffset, bytes / 4)
      : new Uint32Array(bytes / 4);
    readEntries(this.#kernel, this.#mm, start, end, words);
    if (!isAligned) buffer.set(new Uint8Array(words.buffer));
    return bytes;
  }
}

/** Encodes pages `start` to `end` into `words`, two (low, high) an entry. */
export function readEntries(k: Kernel, mm: Mm, start: number, end: number, words: Uint32Array): void {
  let at = start;
  for (let i = mm.position(start); at < end; i++) {
    const vma = mm.vmas[i];
    const from = vma === undefined ? end : Math.min(end, vma.start);
    if (at < from) words.fill(0, (at - start) * 2, (from - start) * 2);
    if (vma === undefined || vma.start >= end) return;
    at = Math.max(at, from);
    const to = Math.min(end, vma.end);
    readArea(k, vma, at, to, words, (at - start) * 2);
    at = to;
  }
}

function readArea(k: Kernel, vma: Vma, start: number, end: number, words: Uint32Array, out: number): void {
  const { pageTables } = vma.mm;
  const areaFlags = (vma.flags & VM_SOFTDIRTY) === 0 ? 0 : PM_HI_SOFT_DIRTY;
  for (let vpn = start; vpn < end; ) {
    const next = pageTables.skipToTable(vpn, end);
    for (; vpn < next; vpn++, out += 2) {
      words[out] = 0;
      words[out + 1] = areaFlags;
    }
    if (vpn >= end) return;
    const stop = Math.min(end, tableEnd(vpn));
    const table = pageTables.find(vpn);
    // What is looked up may change while the table stays as it is.
    const looksUp = k.config.PAGEMAP_SHMEM_LOOKUP && vma.object !== null;
    if (stop - vpn === PTRS_PER_TABLE && !looksUp) words.set(wholeTable(k, table, areaFlags), out);
    else {
      const nones = readTable(k, table, entryOffset(table, vpn), stop - vpn, areaFlags, words, out);
      if (looksUp && nones > 0) lookUpNones(k, vma, vpn, stop, words, out);
    }
    out += (stop - vpn) * 2;
    vpn = stop;
  }
}

/**
 * Looks the none PTEs among pages `start` to `end`, which are encoded in `words`, up in the page cache: an entry for a
 * page in swap (the swap cache included) becomes PM_SWAP with type and offset. Where there is no page table, nobody
 * calls this, as in the series.
 */
function lookUpNones(k: Kernel, vma: Vma, start: number, end: number, words: Uint32Array, out: number): void {
  const { object } = vma;
  if (object === null) return;
  let index = vma.indexOf(start);
  for (let vpn = start; vpn < end; vpn++, index++, out += 2) {
    // Neither present nor in swap form: a none PTE.
    if ((words[out + 1] & (PM_HI_PRESENT | PM_HI_SWAP)) !== 0) continue;
    k.work.pageCacheLookups++;
    const entry = object.get(index);
    if (entry < 0) {
      const swapEntry = swapOfCacheEntry(entry);
      encodeSwapEntry(swapArea(swapEntry), swapSlot(swapEntry), words[out + 1] | PM_HI_SWAP, words, out);
    }
  }
}

/** The entries of a whole table. */
function wholeTable(k: Kernel, table: number, areaFlags: number): Uint32Array {
  const version = k.pageTables.version(table);
  const kept = k.pagemapCache.get(table, version, k.frames.sharingEpoch, areaFlags);
  if (kept !== undefined) return kept;
  const words = k.pagemapCache.put(table, version, k.frames.sharingEpoch, areaFlags);
  readTable(k, table, entryOffset(table, 0), PTRS_PER_TABLE, areaFlags, words, 0);
  return words;
}

/** The hot loop: `count` entries of one table. Returns how many of the PTEs are none. */
export function readTable(
  k: Kernel,
  table: number,
  i: number,
  count: number,
  areaFlags: number,
  words: Uint32Array,
  out: number,
): number {
  const chunk = k.pageTables.chunkOf(table);
  k.work.pteReads += count;
  const pageFlags = k.frames.flags;
  const { mapcount } = k.frames;
  // A constant of another module is loaded anew at each use, and one from 2^31 up is a boxed double: as locals they
  // are three times as fast.
  const presentFlags = PM_HI_PRESENT | areaFlags;
  const fileFlag = PM_HI_FILE | 0;
  const exclusiveFlag = PM_HI_MMAP_EXCLUSIVE | 0;
  const presentBits = PTE_PRESENT | PTE_GLOBAL;
  const softDirtyBit = PTE_SOFT_DIRTY | 0;
  const uffdWpBit = PTE_UFFD_WP | 0;
  const anon = PG_ANON | 0;
  let nones = 0;
  for (const stop = i + count * 2; i < stop; i += 2, out += 2) {
    const lo = chunk[i] | 0;
    const hi = chunk[i + 1] | 0;
    if ((lo & presentBits) !== 0) {
      const pfn = (lo >>> 12) | (hi << 20);
      // PTE bits 11 and 10 become bits 55 and 57.
      let flags = presentFlags | ((lo & softDirtyBit) << 12) | ((lo & uffdWpBit) << 15);
      // Frame 0 is the zero page, which is nobody's.
      if (pfn !== 0) {
        if ((pageFlags[pfn] & anon) === 0) flags |= fileFlag;
        if (mapcount[pfn] === 1) flags |= exclusiveFlag;
      }
      words[out] = pfn;
      words[out + 1] = flags;
    } else if ((lo | hi) === 0) {
      words[out] = 0;
      words[out + 1] = areaFlags;
      nones++;
    } else encodeSwapForm(k, lo, hi, areaFlags, words, out);
  }
  return nones;
}

function encodeSwapForm(
  k: Kernel,
  lo: number,
  hi: number,
  areaFlags: number,
  words: Uint32Array,
  out: number,
): void {
  let flags = PM_HI_SWAP | areaFlags;
  if ((lo & PTE_SWP_SOFT_DIRTY) !== 0) flags |= PM_HI_SOFT_DIRTY;
  if ((lo & PTE_SWP_UFFD_WP) !== 0) flags |= PM_HI_UFFD_WP;
  if (isMarker(k, lo, hi)) {
    const bits = markerBits(lo, hi);
    if ((bits & k.markers.UFFD_WP) !== 0) flags |= PM_HI_UFFD_WP;
    if ((bits & k.markers.GUARD) !== 0) flags |= PM_HI_GUARD_REGION;
  }
  encodeSwapEntry(swapPteType(hi), swapPteOffset(lo, hi), flags, words, out);
}

/** The frame field: type in bits 0-4, offset from bit 5. */
function encodeSwapEntry(type: number, offset: number, flags: number, words: Uint32Array, out: number): void {
  words[out] = type | ((offset % 0x800_0000) << 5);
  words[out + 1] = flags | Math.floor(offset / 0x800_0000);
}
