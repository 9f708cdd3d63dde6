/**
 * Where to look for the mappings of an anonymous page (`mm/rmap.c`, `struct anon_vma`).
 *
 * A page belongs to the anon_vma of the area in which it was first faulted. When that area is forked, split or
 * moved, the new area is linked to the same anon_vmas, and a child gets one of its own besides, for the pages
 * that it will copy: so a page's anon_vma lists just the areas in which the page can be.
 */

import { IntervalTree } from "./interval-tree.ts";
import type { Vma } from "./vma.ts";

/** `struct anon_vma_chain`: one area under one anon_vma. */
export interface AnonVmaLink {
  readonly id: number;
  readonly vma: Vma;
  readonly anonVma: AnonVma;
}

export class AnonVma {
  readonly id: number;
  readonly parent: AnonVma | null;
  readonly tree = new IntervalTree<AnonVmaLink>();
  /** anon_vmas made as this one's children (a root also counts itself), and areas whose own it is. */
  children = 0;
  activeVmas = 0;

  constructor(id: number, parent: AnonVma | null) {
    this.id = id;
    this.parent = parent;
  }
}

/** All anon_vmas, by the number that a page's `mapping` field holds. */
export class AnonVmas {
  readonly #byId: (AnonVma | undefined)[] = [undefined];
  readonly #free: number[] = [];
  #nextLink = 1;

  get(id: number): AnonVma {
    const anonVma = this.#byId[id];
    if (anonVma === undefined) throw new Error(`anon_vma ${id} does not exist`);
    return anonVma;
  }

  get count(): number {
    return this.#byId.length - 1 - this.#free.length;
  }

  #make(parent: AnonVma | null): AnonVma {
    const id = this.#free.pop() ?? this.#byId.length;
    const anonVma = new AnonVma(id, parent);
    this.#byId[id] = anonVma;
    if (parent === null) anonVma.children++;
    else parent.children++;
    return anonVma;
  }

  #drop(anonVma: AnonVma): void {
    if (anonVma.parent !== null) anonVma.parent.children--;
    this.#byId[anonVma.id] = undefined;
    this.#free.push(anonVma.id);
  }

  #link(vma: Vma, anonVma: AnonVma): void {
    const link = { id: this.#nextLink++, vma, anonVma };
    vma.anonLinks.push(link);
    anonVma.tree.insert(link, vma.pgoff, vma.pgoff + vma.sizePages - 1);
  }

  /** `anon_vma_prepare`: before the first anonymous page of an area. Shares a mergeable neighbour's. */
  prepare(vma: Vma): AnonVma {
    if (vma.anonVma !== null) return vma.anonVma;
    const anonVma = vma.mm.reusableAnonVma(vma) ?? this.#make(null);
    vma.anonVma = anonVma;
    anonVma.activeVmas++;
    this.#link(vma, anonVma);
    return anonVma;
  }

  /** `anon_vma_clone`: links `to`, a new piece or a copy of `from`, to all anon_vmas of `from`. */
  clone(to: Vma, from: Vma): void {
    for (const link of from.anonLinks) this.#link(to, link.anonVma);
    to.anonVma = from.anonVma;
    if (to.anonVma !== null) to.anonVma.activeVmas++;
  }

  /** `to` has grown over `from`, and must be found under all that `from` was. */
  adopt(to: Vma, from: Vma): void {
    for (const { anonVma } of from.anonLinks)
      if (!to.anonLinks.some((link) => link.anonVma === anonVma)) this.#link(to, anonVma);
    if (to.anonVma !== null || from.anonVma === null) return;
    to.anonVma = from.anonVma;
    to.anonVma.activeVmas++;
  }

  /**
   * `anon_vma_fork`: links the child's area, and gives it an anon_vma of its own (or one that nobody uses any more).
   */
  fork(child: Vma, parent: Vma): void {
    if (parent.anonVma === null) return;
    for (const { anonVma } of parent.anonLinks) {
      this.#link(child, anonVma);
      if (child.anonVma === null && anonVma.activeVmas === 0 && anonVma.children < 2) child.anonVma = anonVma;
    }
    if (child.anonVma === null) {
      child.anonVma = this.#make(parent.anonVma);
      this.#link(child, child.anonVma);
    }
    child.anonVma.activeVmas++;
  }

  /** `unlink_anon_vmas`: the area is going away. Its pages must have been zapped. */
  unlink(vma: Vma): void {
    this.detach(vma);
    for (const { anonVma } of vma.anonLinks) this.#dropIfUnused(anonVma);
    vma.anonLinks.length = 0;
    if (vma.anonVma !== null) vma.anonVma.activeVmas--;
    if (vma.anonVma !== null) this.#dropIfUnused(vma.anonVma);
    vma.anonVma = null;
  }

  #dropIfUnused(anonVma: AnonVma): void {
    const own = anonVma.parent === null ? 1 : 0;
    if (anonVma.tree.size > 0 || anonVma.children > own) return;
    if (this.#byId[anonVma.id] !== anonVma) return;
    this.#drop(anonVma);
    if (anonVma.parent !== null) this.#dropIfUnused(anonVma.parent);
  }

  /** Takes the area out of the trees, before its extent changes. */
  detach(vma: Vma): void {
    for (const link of vma.anonLinks) link.anonVma.tree.remove(link, vma.pgoff);
  }

  /** Puts it back, with its new extent. */
  attach(vma: Vma): void {
    for (const link of vma.anonLinks)
      link.anonVma.tree.insert(link, vma.pgoff, vma.pgoff + vma.sizePages - 1);
  }
}
