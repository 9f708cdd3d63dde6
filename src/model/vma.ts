/** Virtual memory areas (`struct vm_area_struct`). Addresses here are virtual page numbers. */

import { PTE_ACCESSED, PTE_GLOBAL, PTE_HI_NX, PTE_PRESENT, PTE_RW, PTE_USER } from "../abi/index.ts";
import type { AnonVma, AnonVmaLink } from "./anon-vma.ts";
import type { KernelConfig } from "./config.ts";
import type { Mm } from "./mm.ts";
import type { ShmemObject } from "./shmem-object.ts";
import type { Userfaultfd } from "./userfaultfd.ts";

/** `vm_flags` (`include/linux/mm.h`). */
export const VM_READ = 0x01;
export const VM_WRITE = 0x02;
export const VM_EXEC = 0x04;
export const VM_SHARED = 0x08;
export const VM_MAYREAD = 0x10;
export const VM_MAYWRITE = 0x20;
export const VM_MAYEXEC = 0x40;
export const VM_MAYSHARE = 0x80;
/** Registered with a userfaultfd for write-protection. */
export const VM_UFFD_WP = 0x1000;
export const VM_SOFTDIRTY = 0x0800_0000;

export const VM_ACCESS_FLAGS = VM_READ | VM_WRITE | VM_EXEC;

let nextId = 1;

export class Vma {
  readonly id = nextId++;
  readonly mm: Mm;
  /** First page, and the page after the last. */
  start: number;
  end: number;
  flags: number;
  /** `vm_page_prot`: the flag bits of a new PTE. */
  protLo = 0;
  protHi = 0;
  /** The object mapped, or null for anonymous memory. */
  readonly object: ShmemObject | null;
  /** Index of the first page: in the object; of anonymous memory, of its anon_vma (at first its own page number). */
  pgoff: number;
  /** Where anonymous pages first faulted here belong; null before the first. */
  anonVma: AnonVma | null = null;
  /** All anon_vmas under which pages of this area may be found. */
  readonly anonLinks: AnonVmaLink[] = [];
  userfaultfd: Userfaultfd | null = null;

  constructor(mm: Mm, start: number, end: number, flags: number, object: ShmemObject | null, pgoff: number) {
    this.mm = mm;
    this.start = start;
    this.end = end;
    this.flags = flags;
    this.object = object;
    this.pgoff = pgoff;
  }

  get sizePages(): number {
    return this.end - this.start;
  }

  /** `linear_page_index`. */
  indexOf(vpn: number): number {
    return this.pgoff + (vpn - this.start);
  }

  /** The page at which an index lies; may be outside the area. */
  pageAt(index: number): number {
    return this.start + (index - this.pgoff);
  }
}

/** Private and may be written: pages are copied on write (`is_cow_mapping`). */
export function isCowMapping(flags: number): boolean {
  return (flags & (VM_SHARED | VM_MAYWRITE)) === VM_MAYWRITE;
}

/** `vma_soft_dirty_enabled`: writes must be caught, because the area is not soft-dirty as a whole. */
export function isSoftDirtyTracked(config: KernelConfig, vma: Vma): boolean {
  return config.MEM_SOFT_DIRTY && (vma.flags & VM_SOFTDIRTY) === 0;
}

/** `vma_wants_writenotify`, for shmem: the first write to a page of a shared mapping must fault. */
export function wantsWriteNotify(config: KernelConfig, vma: Vma): boolean {
  if ((vma.flags & (VM_WRITE | VM_SHARED)) !== (VM_WRITE | VM_SHARED)) return false;
  return isSoftDirtyTracked(config, vma) || (vma.flags & VM_UFFD_WP) !== 0;
}

/** `vm_get_page_prot`: the low flag bits of a PTE for these `vm_flags` (x86-64's `protection_map`). */
export function pageProtLo(flags: number): number {
  // PROT_NONE. Linux also inverts the frame number of such a PTE (L1TF); here it stays as it is.
  if ((flags & VM_ACCESS_FLAGS) === 0) return PTE_GLOBAL | PTE_ACCESSED;
  const writable = (flags & (VM_WRITE | VM_SHARED)) === (VM_WRITE | VM_SHARED);
  return PTE_PRESENT | PTE_USER | PTE_ACCESSED | (writable ? PTE_RW : 0);
}

/** `vma_set_page_prot`: recomputes what a new PTE of the area may do. */
export function setPageProt(config: KernelConfig, vma: Vma): void {
  vma.protLo = pageProtLo(vma.flags) & (wantsWriteNotify(config, vma) ? ~PTE_RW : -1);
  vma.protHi = (vma.flags & VM_EXEC) === 0 ? PTE_HI_NX | 0 : 0;
}
