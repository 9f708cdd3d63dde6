/**
 * A page fault (`handle_mm_fault`, `mm/memory.c`) as an object that goes through named stages. {@link
 * Fault.run} drives them to the end; a scheduler calls {@link Fault.step}, so that what other tasks do comes
 * between.
 */

import {
  ERRNO,
  isPteNone,
  isSwapPte,
  type MarkerLayout,
  markerBits,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_RW,
  PTE_SOFT_DIRTY,
  PTE_SPECIAL,
  PTE_SWP_EXCLUSIVE,
  PTE_SWP_SOFT_DIRTY,
  PTE_SWP_UFFD_WP,
  PTE_UFFD_WP,
} from "../abi/index.ts";
import { isMarker, pteSwapEntry } from "./entries.ts";
import { faultAround } from "./fault-around.ts";
import type { FaultKind, FaultResult, FaultStage } from "./fault-stage.ts";
import type { Kernel } from "./kernel.ts";
import type { Mm } from "./mm.ts";
import { allocPage, putPage } from "./page-alloc.ts";
import {
  PG_ANON,
  PG_DIRTY,
  PG_LOCKED,
  PG_READAHEAD,
  PG_SWAPBACKED,
  PG_SWAPCACHE,
  PG_UPTODATE,
  PG_WRITEBACK,
  ZERO_PFN,
} from "./page-frames.ts";
import { BLOCKED, lockedAt } from "./page-lock.ts";
import { entryOffset } from "./page-table.ts";
import { addAnonRmap, addNewAnonRmap, mayReuse, removeRmap } from "./rmap.ts";
import { findPage, releasePage } from "./shmem.ts";
import { freeSwapCache, swapIn } from "./swap-in.ts";
import { VM_ACCESS_FLAGS, VM_SHARED, VM_UFFD_WP, VM_WRITE, type Vma } from "./vma.ts";

export class Fault {
  stage: FaultStage = "done";
  result: FaultResult = "ok";
  /** Whether a page had to be read from swap. */
  isMajor = false;
  /** Set by a step that could not go on because a page is locked: step again later. */
  isBlocked = false;
  mm!: Mm;
  vma!: Vma;
  /** The page that faulted. */
  vpn = 0;
  isWrite = false;
  kind: FaultKind = "object";
  /** The area's flags when it was found. */
  areaFlags = 0;
  /** The PTE as first seen: signed words, which are no boxed doubles. */
  origLo = 0;
  origHi = 0;
  /** The page found or made, with a reference; of the write-protect stages the old one. */
  pfn = 0;
  copyPfn = 0;

  begin(mm: Mm, vpn: number, isWrite: boolean): void {
    this.mm = mm;
    this.vpn = vpn;
    this.isWrite = isWrite;
    this.stage = "look";
    this.result = "ok";
    this.isMajor = false;
    this.isBlocked = false;
  }

  run(k: Kernel): FaultResult {
    while (this.stage !== "done") {
      this.step(k);
      if (this.isBlocked) throw lockedAt(this.vpn);
    }
    return this.result;
  }

  step(k: Kernel): void {
    this.isBlocked = false;
    switch (this.stage) {
      case "look":
        this.#look(k);
        break;
      case "map-around":
        if (!this.#isSameArea()) this.#end("retry");
        else this.stage = faultAround(k, this.vma, this.vpn) ? this.#end("ok") : "get-page";
        break;
      case "get-page":
        this.#getPage(k);
        break;
      case "install":
        this.#install(k);
        break;
      case "write-protect":
        this.#writeProtect(k);
        break;
      case "copy":
        this.#copy(k);
        break;
      case "install-copy":
        this.#installCopy(k);
        break;
    }
  }

  #end(result: FaultResult): "done" {
    this.result = result;
    this.stage = "done";
    return "done";
  }

  #look(k: Kernel): void {
    const vma = this.mm.find(this.vpn);
    if (vma === undefined || (vma.flags & (this.isWrite ? VM_WRITE : VM_ACCESS_FLAGS)) === 0) {
      this.#end("SIGSEGV");
      return;
    }
    this.vma = vma;
    this.areaFlags = vma.flags;
    const table = this.mm.pageTables.find(this.vpn);
    if (table === 0) {
      this.origLo = 0;
      this.origHi = 0;
    } else {
      const chunk = k.pageTables.chunkOf(table);
      const i = entryOffset(table, this.vpn);
      k.work.pteReads++;
      this.origLo = chunk[i] | 0;
      this.origHi = chunk[i + 1] | 0;
    }
    if (isPteNone(this.origLo, this.origHi)) this.#startMissing(k);
    else if (isSwapPte(this.origLo, this.origHi)) {
      if (isMarker(k, this.origLo, this.origHi)) this.#lookAtMarker(k, k.markers);
      else {
        this.kind = "swap";
        this.stage = "get-page";
      }
    } else if (this.isWrite && (this.origLo & PTE_RW) === 0) this.stage = "write-protect";
    else {
      // Somebody resolved it already, as a userfaultfd handler does.
      const used = PTE_ACCESSED | (this.isWrite ? PTE_DIRTY | k.softDirtyBit : 0);
      this.#setPte(k, this.origLo | used, this.origHi);
      this.#end("ok");
    }
  }

  /** Nothing is mapped: `do_anonymous_page` or `do_fault`. */
  #startMissing(k: Kernel): void {
    this.kind = this.vma.object === null ? "anonymous" : "object";
    const around =
      this.kind === "object" &&
      !this.isWrite &&
      k.faultAroundPages > 1 &&
      // Write-protected pages must fault one by one (`uffd_disable_fault_around`).
      (this.vma.flags & VM_UFFD_WP) === 0;
    this.stage = around ? "map-around" : "get-page";
  }

  /** `handle_pte_marker`. */
  #lookAtMarker(k: Kernel, markers: MarkerLayout): void {
    if (!k.config.handle_pte_marker) {
      k.work.badPtes++;
      this.#end("SIGBUS");
      return;
    }
    const bits = markerBits(this.origLo, this.origHi);
    if ((bits & markers.POISONED) !== 0) this.#end("SIGBUS");
    else if ((bits & markers.GUARD) !== 0) this.#end("SIGSEGV");
    else if (bits === markers.PAGEOUT && bits !== 0 && this.vma.object !== null) this.#startMissing(k);
    else if ((bits & markers.UFFD_WP) === 0) this.#end("SIGBUS");
    else if (
      (this.vma.flags & VM_UFFD_WP) === 0 ||
      (this.vma.object === null && !k.behaviour.uffdWpUnpopulatedAnon)
    ) {
      // Left over from a registration that is gone.
      this.#setPte(k, 0, 0);
      this.#end("retry");
    } else this.#startMissing(k);
  }

  /**
   * Whether the area is still there and as it was found: a scheduler may have let a call of the same process
   * come between, where Linux makes that wait for `mmap_lock`.
   */
  #isSameArea(): boolean {
    return this.mm.find(this.vpn) === this.vma && this.vma.flags === this.areaFlags;
  }

  #getPage(k: Kernel): void {
    if (!this.#isSameArea()) this.#end("retry");
    else if (this.kind === "swap") this.#getSwappedPage(k);
    else if (this.kind === "object") this.#getObjectPage(k);
    else this.#makeAnonymousPage(k);
  }

  #makeAnonymousPage(k: Kernel): void {
    this.pfn = ZERO_PFN;
    if (this.isWrite) {
      k.anonVmas.prepare(this.vma);
      this.pfn = allocPage(k, this.mm.group);
      if (this.pfn === 0) {
        this.#end("ENOMEM");
        return;
      }
      k.frames.contents.zero(this.pfn);
      k.frames.flags[this.pfn] = PG_UPTODATE | PG_SWAPBACKED;
    }
    this.stage = "install";
  }

  #getObjectPage(k: Kernel): void {
    const { vma } = this;
    const object = vma.object;
    if (object === null) return;
    const isCopy = this.isWrite && (vma.flags & VM_SHARED) === 0;
    if (isCopy) {
      k.anonVmas.prepare(vma);
      this.copyPfn = allocPage(k, this.mm.group);
      if (this.copyPfn === 0) {
        this.#end("ENOMEM");
        return;
      }
      k.frames.flags[this.copyPfn] = PG_SWAPBACKED;
    }
    k.majorFault = false;
    const pfn = findPage(k, object, vma.indexOf(this.vpn), "cache", this.mm.group);
    if (pfn <= 0) {
      if (isCopy) putPage(k, this.copyPfn);
      if (pfn === BLOCKED) this.isBlocked = true;
      else this.#end(pfn === -ERRNO.ENOMEM ? "ENOMEM" : "SIGBUS");
      return;
    }
    if (k.majorFault) this.#countMajor(k);
    this.pfn = pfn;
    if (isCopy) {
      k.frames.contents.copy(this.copyPfn, k.frames.contents, pfn);
      k.frames.flags[this.copyPfn] |= PG_UPTODATE;
    }
    this.stage = "install";
  }

  #countMajor(k: Kernel): void {
    this.isMajor = true;
    k.vmstat.pgmajfault++;
  }

  /** The first part of `do_swap_page`: a private page. */
  #getSwappedPage(k: Kernel): void {
    const { frames, swap } = k;
    const entry = pteSwapEntry(this.origLo, this.origHi);
    if (!this.#isUnchanged(k)) {
      // The slot may be another page's by now.
      this.#end("retry");
      return;
    }
    const cached = swap.lookUp(entry);
    if (cached > 0) {
      if ((frames.flags[cached] & PG_LOCKED) !== 0) {
        this.isBlocked = true;
        return;
      }
      if ((frames.flags[cached] & PG_READAHEAD) !== 0) k.readahead.hit(k, cached);
      frames.flags[cached] |= PG_LOCKED;
      frames.refcount[cached]++;
      this.pfn = cached;
    } else {
      this.pfn = swapIn(k, entry);
      if (this.pfn === 0) {
        this.#end("ENOMEM");
        return;
      }
      this.#countMajor(k);
    }
    this.stage = "install";
  }

  /** Whether the PTE is still what was seen first. */
  #isUnchanged(k: Kernel): boolean {
    const table = this.mm.pageTables.find(this.vpn);
    k.work.pteReads++;
    if (table === 0) return isPteNone(this.origLo, this.origHi);
    const chunk = k.pageTables.chunkOf(table);
    const i = entryOffset(table, this.vpn);
    return (chunk[i] | 0) === this.origLo && (chunk[i + 1] | 0) === this.origHi;
  }

  #setPte(k: Kernel, lo: number, hi: number): void {
    const table = this.mm.pageTables.ensure(this.vpn);
    const chunk = k.pageTables.chunkOf(table);
    const i = entryOffset(table, this.vpn);
    k.pageTables.write(chunk, i, lo, hi);
  }

  #setPage(k: Kernel, pfn: number, flags: number): void {
    this.#setPte(k, (pfn << 12) | flags, (pfn >>> 20) | this.vma.protHi);
  }

  #install(k: Kernel): void {
    const isSame = this.#isUnchanged(k) && this.#isSameArea();
    if (this.kind === "swap") this.#installSwapped(k, isSame);
    else if (this.kind === "object") this.#installObject(k, isSame);
    else this.#installAnonymous(k, isSame);
  }

  #isWpMarker(k: Kernel): boolean {
    return (
      isMarker(k, this.origLo, this.origHi) &&
      (markerBits(this.origLo, this.origHi) & k.markers.UFFD_WP) !== 0
    );
  }

  #installAnonymous(k: Kernel, isSame: boolean): void {
    const { vma } = this;
    const wp = this.#isWpMarker(k) ? PTE_UFFD_WP : 0;
    if (!isSame) {
      if (this.pfn !== ZERO_PFN) putPage(k, this.pfn);
      this.#end("retry");
    } else if (this.pfn === ZERO_PFN) {
      this.#setPage(k, ZERO_PFN, vma.protLo | PTE_SPECIAL | wp);
      this.#end("ok");
    } else {
      addNewAnonRmap(k, this.pfn, vma, this.vpn);
      k.lru.add(this.pfn);
      const written = (vma.flags & VM_WRITE) !== 0 ? PTE_RW | PTE_DIRTY | k.softDirtyBit : 0;
      this.#setPage(k, this.pfn, wp === 0 ? vma.protLo | written : ((vma.protLo | written) & ~PTE_RW) | wp);
      this.#end(wp === 0 ? "ok" : "retry");
    }
  }

  /** `finish_fault` and `do_set_pte`. */
  #installObject(k: Kernel, isSame: boolean): void {
    const { vma } = this;
    const { frames } = k;
    const isCopy = this.isWrite && (vma.flags & VM_SHARED) === 0;
    // Without the patch that compares with what was seen first, only none is as expected.
    const isExpected = k.config.finish_fault_orig_pte || isPteNone(this.origLo, this.origHi);
    if (!isSame || !isExpected) {
      if (isCopy) putPage(k, this.copyPfn);
      releasePage(k, this.pfn);
      this.#end("retry");
      return;
    }
    let flags = vma.protLo;
    if (this.isWrite) flags |= PTE_RW | PTE_DIRTY | k.softDirtyBit;
    const wp = this.#isWpMarker(k);
    if (wp) flags = (flags | PTE_UFFD_WP) & ~PTE_RW;
    if (isCopy) {
      addNewAnonRmap(k, this.copyPfn, vma, this.vpn);
      k.lru.add(this.copyPfn);
      this.#setPage(k, this.copyPfn, flags);
      releasePage(k, this.pfn);
    } else {
      frames.addMapper(this.pfn);
      frames.flags[this.pfn] &= ~PG_LOCKED;
      if (this.isWrite) frames.flags[this.pfn] |= PG_DIRTY;
      this.#setPage(k, this.pfn, flags);
    }
    this.#end("ok");
  }

  /** The second part of `do_swap_page`. */
  #installSwapped(k: Kernel, isSame: boolean): void {
    const { frames, swap } = k;
    const { vma } = this;
    const pfn = this.pfn;
    const entry = pteSwapEntry(this.origLo, this.origHi);
    const isCached = (frames.flags[pfn] & PG_SWAPCACHE) !== 0;
    if (!isSame) {
      releasePage(k, pfn);
      this.#end("retry");
      return;
    }
    const exclusive = !isCached || (this.origLo & PTE_SWP_EXCLUSIVE) !== 0;
    swap.release(entry);
    // A page that is about to be written gives up its slot, if only the swap cache and we hold it.
    if (
      isCached &&
      (frames.flags[pfn] & PG_WRITEBACK) === 0 &&
      (swap.isFull || (this.isWrite && frames.refcount[pfn] === 2))
    )
      swap.freeSwapOf(pfn);
    let flags = vma.protLo;
    const wp = (this.origLo & PTE_SWP_UFFD_WP) !== 0;
    const mayReuse = exclusive || frames.refcount[pfn] === 1;
    if (mayReuse && this.isWrite) flags |= PTE_RW | PTE_DIRTY | k.softDirtyBit;
    else if (
      mayReuse &&
      k.behaviour.swapInMapsWritable &&
      (vma.flags & VM_WRITE) !== 0 &&
      k.softDirtyBit === 0
    )
      flags |= PTE_RW;
    if ((this.origLo & PTE_SWP_SOFT_DIRTY) !== 0) flags |= PTE_SOFT_DIRTY;
    if (wp) flags = (flags | PTE_UFFD_WP) & ~PTE_RW;
    addAnonRmap(k, pfn, vma, this.vpn, mayReuse);
    this.#setPage(k, pfn, flags);
    frames.flags[pfn] &= ~PG_LOCKED;
    // A write that may not go on yet is handled as one to a present, read-only page.
    if (this.isWrite && (flags & PTE_RW) === 0) this.stage = "look";
    else this.#end("ok");
  }

  /** `do_wp_page`. */
  #writeProtect(k: Kernel): void {
    const { frames } = k;
    const { vma } = this;
    if (!this.#isUnchanged(k) || !this.#isSameArea()) {
      this.#end("retry");
      return;
    }
    if ((this.origLo & PTE_UFFD_WP) !== 0 && (vma.flags & VM_UFFD_WP) !== 0) {
      if (vma.userfaultfd === null || !vma.userfaultfd.isAsync) {
        this.#end("userfault");
        return;
      }
      // Asynchronous: the kernel un-protects by itself.
      this.#setPte(k, this.origLo & ~PTE_UFFD_WP, this.origHi);
      this.origLo &= ~PTE_UFFD_WP;
    }
    const pfn = (this.origLo >>> 12) | (this.origHi << 20);
    this.pfn = pfn;
    const isAnon = pfn !== ZERO_PFN && (frames.flags[pfn] & PG_ANON) !== 0;
    const isShared =
      pfn !== ZERO_PFN && !isAnon && (vma.flags & (VM_WRITE | VM_SHARED)) === (VM_WRITE | VM_SHARED);
    if (isShared || (isAnon && mayReuse(k, pfn, vma))) {
      this.#setPte(k, this.origLo | PTE_RW | PTE_DIRTY | PTE_ACCESSED | k.softDirtyBit, this.origHi);
      if (isShared) frames.flags[pfn] |= PG_DIRTY;
      k.vmstat.pgreuse++;
      this.#end("ok");
      return;
    }
    if (pfn !== ZERO_PFN) frames.refcount[pfn]++;
    this.stage = "copy";
  }

  #copy(k: Kernel): void {
    const { frames } = k;
    if (!this.#isSameArea()) {
      this.#dropOld(k, "retry");
      return;
    }
    k.anonVmas.prepare(this.vma);
    this.copyPfn = allocPage(k, this.mm.group);
    if (this.copyPfn === 0) {
      this.#dropOld(k, "ENOMEM");
      return;
    }
    if (this.pfn === ZERO_PFN) frames.contents.zero(this.copyPfn);
    else frames.contents.copy(this.copyPfn, frames.contents, this.pfn);
    frames.flags[this.copyPfn] = PG_SWAPBACKED | PG_UPTODATE;
    this.stage = "install-copy";
  }

  /** The end of `wp_page_copy`. */
  #installCopy(k: Kernel): void {
    const { vma } = this;
    const isSame = this.#isUnchanged(k) && this.#isSameArea();
    if (!isSame) putPage(k, this.copyPfn);
    else {
      const writable = (vma.flags & VM_WRITE) !== 0 ? PTE_RW : 0;
      addNewAnonRmap(k, this.copyPfn, vma, this.vpn);
      k.lru.add(this.copyPfn);
      this.#setPage(k, this.copyPfn, vma.protLo | writable | PTE_DIRTY | k.softDirtyBit);
      if (this.pfn !== ZERO_PFN) removeRmap(k, this.pfn);
    }
    if (isSame && this.pfn !== ZERO_PFN) freeSwapCache(k, this.pfn);
    this.#dropOld(k, isSame ? "ok" : "retry");
  }

  #dropOld(k: Kernel, result: FaultResult): void {
    if (this.pfn !== ZERO_PFN) putPage(k, this.pfn);
    this.#end(result);
  }
}
