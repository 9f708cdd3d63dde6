/**
 * userfaultfd, as far as write-protection goes (`fs/userfaultfd.c`, `mm/userfaultfd.c`). Addresses are page numbers.
 */

import { ERRNO } from "../abi/index.ts";
import type { Kernel } from "./kernel.ts";
import type { Mm } from "./mm.ts";
import { changeProtection, wantsManualWriteUpgrade } from "./mprotect.ts";
import { pageProtLo, setPageProt, VM_MAYWRITE, VM_SHARED, VM_UFFD_WP, VM_WRITE, type Vma } from "./vma.ts";

/** Called for each write to a protected page, if the userfaultfd is not asynchronous: must un-protect it. */
export type WriteProtectHandler = (vpn: number) => void;

export class Userfaultfd {
  readonly mm: Mm;
  /** UFFD_FEATURE_WP_ASYNC: the kernel un-protects a page by itself when it is written. */
  readonly isAsync: boolean;
  readonly handler: WriteProtectHandler;

  constructor(k: Kernel, mm: Mm, handler: WriteProtectHandler | undefined) {
    this.mm = mm;
    this.isAsync = k.config.uffd_wp_async && handler === undefined;
    // As the usual handler thread does.
    this.handler = handler ?? ((vpn) => writeProtect(k, this, vpn, vpn + 1, "resolve"));
  }
}

/** `userfaultfd_set_vm_flags`. */
function setFlags(k: Kernel, vma: Vma, flags: number): void {
  const changed = ((vma.flags ^ flags) & VM_UFFD_WP) !== 0;
  vma.flags = flags;
  if ((flags & VM_SHARED) !== 0 && changed) setPageProt(k.config, vma);
}

/** An area that is copied or moved is not registered any more (there is no EVENT_FORK and no EVENT_REMAP here). */
export function dropRegistration(k: Kernel, vma: Vma): void {
  vma.userfaultfd = null;
  setFlags(k, vma, vma.flags & ~VM_UFFD_WP);
}

/**
 * UFFDIO_REGISTER with UFFDIO_REGISTER_MODE_WP over the areas in pages `start` to `end`. Returns 0 or minus an errno:
 * EINVAL (ENOMEM on 6.1 if nothing is above either) if nothing is mapped there or markers are needed and not
 * configured, EPERM for what can't be written,
 * EBUSY if another userfaultfd has it.
 */
export function register(k: Kernel, uffd: Userfaultfd, start: number, end: number): number {
  const { mm } = uffd;
  if (end <= start) return -ERRNO.EINVAL;
  const first = mm.position(start);
  if (first === mm.vmas.length) return nothingAbove(k);
  if (mm.vmas[first].start >= end) return -ERRNO.EINVAL;
  for (let i = first; i < mm.vmas.length && mm.vmas[i].start < end; i++) {
    const vma = mm.vmas[i];
    if (vma.object !== null && k.uffdWpMarkerHi === 0) return -ERRNO.EINVAL;
    if ((vma.flags & VM_MAYWRITE) === 0) return -ERRNO.EPERM;
    if (vma.userfaultfd !== null && vma.userfaultfd !== uffd) return -ERRNO.EBUSY;
  }
  mm.splitAt(start, end);
  for (let at = start; at < end; ) {
    const vma = mm.vmas[mm.position(at)];
    if (vma === undefined || vma.start >= end) break;
    at = vma.end;
    if (vma.userfaultfd === uffd) continue;
    vma.userfaultfd = uffd;
    setFlags(k, vma, vma.flags | VM_UFFD_WP);
    mm.merge(vma);
  }
  return 0;
}

function nothingAbove(k: Kernel): number {
  return k.behaviour.uffdNothingAboveIsEnomem ? -ERRNO.ENOMEM : -ERRNO.EINVAL;
}

/** UFFDIO_UNREGISTER: also un-protects. Returns 0, or minus EINVAL if nothing is mapped there, or another's. */
export function unregister(k: Kernel, uffd: Userfaultfd, start: number, end: number): number {
  const { mm } = uffd;
  const first = mm.position(start);
  if (end <= start) return -ERRNO.EINVAL;
  if (first === mm.vmas.length) return nothingAbove(k);
  if (mm.vmas[first].start >= end) return -ERRNO.EINVAL;
  if (k.behaviour.uffdUnregistersOwnOnly)
    for (let i = first; i < mm.vmas.length && mm.vmas[i].start < end; i++)
      if (mm.vmas[i].userfaultfd !== null && mm.vmas[i].userfaultfd !== uffd) return -ERRNO.EINVAL;
  mm.splitAt(start, end);
  for (let at = start; at < end; ) {
    const vma = mm.vmas[mm.position(at)];
    if (vma === undefined || vma.start >= end) break;
    at = vma.end;
    if (vma.userfaultfd === null) continue;
    protectRange(k, vma, vma.start, vma.end, "resolve");
    dropRegistration(k, vma);
    mm.merge(vma);
  }
  return 0;
}

/** `uffd_wp_range`. */
function protectRange(k: Kernel, vma: Vma, start: number, end: number, what: "protect" | "resolve"): void {
  const plain = k.behaviour.uffdWpResolveMapsWritable;
  let { protLo } = vma;
  if (plain) protLo = pageProtLo(what === "protect" ? vma.flags & ~VM_WRITE : vma.flags);
  changeProtection(k, vma, start, end, {
    protLo,
    protHi: vma.protHi,
    userfaultfd: what,
    tryWritable: what === "resolve" && !plain && wantsManualWriteUpgrade(k, vma),
  });
}

/**
 * UFFDIO_WRITEPROTECT (`mwriteprotect_range`). Returns 0 or minus an errno: EINVAL for an empty range, ENOENT where
 * something is not registered (what lies before it is done), or on 6.1 if the range is not in one area.
 */
export function writeProtect(
  k: Kernel,
  uffd: Userfaultfd,
  start: number,
  end: number,
  what: "protect" | "resolve",
): number {
  const { mm } = uffd;
  if (end <= start) return -ERRNO.EINVAL;
  if (k.behaviour.uffdWpWithinOneVma) {
    const vma = mm.find(start);
    if (vma === undefined || end > vma.end || (vma.flags & VM_UFFD_WP) === 0) return -ERRNO.ENOENT;
    protectRange(k, vma, start, end, what);
    return 0;
  }
  let result: number = -ERRNO.ENOENT;
  for (let i = mm.position(start); i < mm.vmas.length && mm.vmas[i].start < end; i++) {
    const vma = mm.vmas[i];
    if ((vma.flags & VM_UFFD_WP) === 0) return -ERRNO.ENOENT;
    protectRange(k, vma, Math.max(start, vma.start), Math.min(end, vma.end), what);
    result = 0;
  }
  return result;
}
