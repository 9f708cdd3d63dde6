/** An address space (`struct mm_struct`): its areas, in order, and its page tables. Addresses are page numbers. */

import { PAGE_SIZE, TASK_SIZE } from "../abi/index.ts";
import type { AnonVma, AnonVmas } from "./anon-vma.ts";
import type { MemoryGroup } from "./memory-group.ts";
import { type PageTablePool, PageTables } from "./page-table.ts";
import { VM_ACCESS_FLAGS, VM_SOFTDIRTY, Vma } from "./vma.ts";

export const TASK_PAGES = TASK_SIZE / PAGE_SIZE;
/** `vm.mmap_min_addr`, in pages: nothing goes below it unasked. */
export const FIRST_PAGE = 16;

export class Mm {
  readonly id: number;
  readonly group: MemoryGroup;
  readonly pageTables: PageTables;
  readonly #anonVmas: AnonVmas;
  /** In order of address. Changed only by the methods here. */
  readonly #vmas: Vma[] = [];
  /** There is no gap of `#hintPages` or more above page `#hintEnd`: where the search for such a one begins. */
  #hintPages = 1;
  #hintEnd = TASK_PAGES;

  constructor(id: number, group: MemoryGroup, pool: PageTablePool, anonVmas: AnonVmas) {
    this.id = id;
    this.group = group;
    this.pageTables = new PageTables(pool);
    this.#anonVmas = anonVmas;
  }

  get vmas(): readonly Vma[] {
    return this.#vmas;
  }

  /** Position of the first area that ends above `vpn`; `vmas.length` if none does. */
  position(vpn: number): number {
    const vmas = this.#vmas;
    let low = 0;
    let high = vmas.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (vmas[middle].end > vpn) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** The area that contains `vpn`. */
  find(vpn: number): Vma | undefined {
    const vma = this.#vmas[this.position(vpn)];
    return vma !== undefined && vma.start <= vpn ? vma : undefined;
  }

  isFree(start: number, end: number): boolean {
    const next = this.#vmas[this.position(start)];
    return start >= FIRST_PAGE && end <= TASK_PAGES && (next === undefined || next.start >= end);
  }

  /** The highest free range of that size, top down; undefined if there is none. */
  unmappedArea(sizePages: number): number | undefined {
    const isHinted = sizePages >= this.#hintPages;
    let end = isHinted ? this.#hintEnd : TASK_PAGES;
    let largestPassed = isHinted ? this.#hintPages - 1 : 0;
    let i = Math.min(this.position(end - 1), this.#vmas.length - 1);
    for (; i >= 0; i--) {
      const vma = this.#vmas[i];
      const gap = end - vma.end;
      if (gap >= sizePages) break;
      largestPassed = Math.max(largestPassed, gap);
      end = Math.min(end, vma.start);
    }
    if (end - sizePages < FIRST_PAGE) return undefined;
    this.#hintPages = largestPassed + 1;
    this.#hintEnd = end;
    return end - sizePages;
  }

  #link(vma: Vma): void {
    vma.object?.link(vma);
  }

  #unlink(vma: Vma): void {
    vma.object?.unlink(vma);
  }

  insert(vma: Vma): void {
    this.#vmas.splice(this.position(vma.start), 0, vma);
    this.#link(vma);
  }

  /** Takes an area out for good. Its pages must have been zapped. */
  remove(vma: Vma): void {
    const i = this.position(vma.start);
    this.#vmas.splice(i, 1);
    this.#unlink(vma);
    this.#anonVmas.unlink(vma);
    // The gap that there is now ends where the next area begins.
    this.#hintEnd = Math.max(this.#hintEnd, this.#vmas[i]?.start ?? TASK_PAGES);
  }

  /** Changes an area's extent; `start`, `pgoff` and `end` move together as the caller says. */
  #resize(vma: Vma, start: number, end: number, pgoff: number): void {
    this.#unlink(vma);
    this.#anonVmas.detach(vma);
    vma.start = start;
    vma.end = end;
    vma.pgoff = pgoff;
    this.#anonVmas.attach(vma);
    this.#link(vma);
  }

  /** Grows an area upwards; the pages after it must be free. */
  extend(vma: Vma, end: number): void {
    this.#resize(vma, vma.start, end, vma.pgoff);
  }

  /** `split_vma`: cuts an area in two at `vpn`, within it. The area keeps the lower part; returns the upper. */
  split(vma: Vma, vpn: number): Vma {
    const upper = new Vma(this, vpn, vma.end, vma.flags, vma.object, vma.indexOf(vpn));
    upper.protLo = vma.protLo;
    upper.protHi = vma.protHi;
    upper.userfaultfd = vma.userfaultfd;
    this.#resize(vma, vma.start, vpn, vma.pgoff);
    this.#anonVmas.clone(upper, vma);
    this.insert(upper);
    return upper;
  }

  /** Splits so that an area starts at `start` and one ends at `end`, where they are inside of one. */
  splitAt(start: number, end: number): void {
    const first = this.find(start);
    if (first !== undefined && first.start < start) this.split(first, start);
    const last = this.find(end);
    if (last !== undefined && last.start < end) this.split(last, end);
  }

  /**
   * `vma_merge`: joins an area with the neighbours it can be one with. All get its flags. Returns what it is in now.
   */
  merge(vma: Vma): Vma {
    const i = this.position(vma.start);
    const next = this.#vmas[i + 1];
    if (next !== undefined && canMerge(vma, next)) this.#absorb(vma, next);
    const previous = this.#vmas[i - 1];
    if (previous === undefined || !canMerge(previous, vma)) return vma;
    previous.flags = vma.flags;
    this.#absorb(previous, vma);
    return previous;
  }

  /** Grows `lower` over `upper`, which goes. */
  #absorb(lower: Vma, upper: Vma): void {
    this.#vmas.splice(this.position(upper.start), 1);
    this.#unlink(upper);
    this.#resize(lower, lower.start, upper.end, lower.pgoff);
    this.#anonVmas.adopt(lower, upper);
    this.#anonVmas.unlink(upper);
  }

  /** `find_mergeable_anon_vma`: the anon_vma of a neighbour that `vma` might be joined with later. */
  reusableAnonVma(vma: Vma): AnonVma | null {
    const i = this.position(vma.start);
    const next = this.#vmas[i + 1];
    if (next !== undefined && anonVmaCompatible(vma, next) && next.anonLinks.length === 1)
      return next.anonVma;
    const previous = this.#vmas[i - 1];
    if (previous !== undefined && anonVmaCompatible(previous, vma) && previous.anonLinks.length === 1)
      return previous.anonVma;
    return null;
  }
}

function areContiguous(lower: Vma, upper: Vma): boolean {
  return (
    lower.end === upper.start &&
    lower.object === upper.object &&
    lower.pgoff + lower.sizePages === upper.pgoff
  );
}

/** `anon_vma_compatible`. */
function anonVmaCompatible(lower: Vma, upper: Vma): boolean {
  return (
    areContiguous(lower, upper) && ((lower.flags ^ upper.flags) & ~(VM_ACCESS_FLAGS | VM_SOFTDIRTY)) === 0
  );
}

/** `is_mergeable_vma`, `is_mergeable_anon_vma`. */
function canMerge(lower: Vma, upper: Vma): boolean {
  if (!areContiguous(lower, upper)) return false;
  if (((lower.flags ^ upper.flags) & ~VM_SOFTDIRTY) !== 0 || lower.userfaultfd !== upper.userfaultfd)
    return false;
  if (lower.anonVma === upper.anonVma) return true;
  if (lower.anonVma !== null && upper.anonVma !== null) return false;
  return Math.max(lower.anonLinks.length, upper.anonLinks.length) === 1;
}
