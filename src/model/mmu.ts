/** What the processor does on a load or store, and what it asks of the kernel when it can't (x86-64). */

import {
  isPtePresent,
  PAGE_SIZE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_RW,
  PTE_UFFD_WP,
} from "../abi/index.ts";
import type { Kernel } from "./kernel.ts";
import type { Mm } from "./mm.ts";
import { entryOffset } from "./page-table.ts";
import { VM_UFFD_WP } from "./vma.ts";

/** Why an access could not be made. */
export type AccessError = "SIGSEGV" | "SIGBUS" | "ENOMEM";

/**
 * An access takes a few faults at the most; one that has taken so many, with nobody else running, takes for
 * ever.
 */
export const FAULTS_MAX = 32;

/**
 * A fault that is handled again and again and gets the access no further: the processor would be stuck there.
 */
export class EndlessFaultError extends Error {
  override readonly name = "EndlessFaultError";

  constructor(vpn: number) {
    super(
      `page 0x${(vpn * PAGE_SIZE).toString(16)}: the fault was handled ${FAULTS_MAX} times, and the access still ` +
        "faults: it would be retried for ever",
    );
  }
}

/** The reason for the last {@link access} that returned -1. */
export let accessError: AccessError = "SIGSEGV";

/**
 * The frame that a load or store of page `vpn` reaches: sets the accessed and dirty bits as the hardware
 * does, and faults as often as needed. -1 if it can't be reached, and then {@link accessError} says why.
 */
export function access(k: Kernel, mm: Mm, vpn: number, isWrite: boolean): number {
  for (let tries = 0; ; ) {
    const pfn = walk(k, mm, vpn, isWrite);
    if (pfn >= 0) return pfn;
    let result = handleFault(k, mm, vpn, isWrite);
    while (result === "handled") result = handleFault(k, mm, vpn, isWrite);
    if (result === "ok") {
      if (++tries === FAULTS_MAX) throw new EndlessFaultError(vpn);
    } else {
      accessError = result;
      return -1;
    }
  }
}

/** What the processor does by itself: the frame that the PTE maps, its bits set; -1 if it must fault. */
export function walk(k: Kernel, mm: Mm, vpn: number, isWrite: boolean): number {
  const table = mm.pageTables.find(vpn);
  if (table === 0) return -1;
  const chunk = k.pageTables.chunkOf(table);
  const i = entryOffset(table, vpn);
  const lo = chunk[i];
  if ((lo & PTE_PRESENT) === 0 || (isWrite && (lo & PTE_RW) === 0)) return -1;
  chunk[i] = lo | (isWrite ? PTE_ACCESSED | PTE_DIRTY : PTE_ACCESSED);
  return (lo >>> 12) | (chunk[i + 1] << 20);
}

/**
 * Runs a fault to its end. "ok": the access is to be tried again. "handled": a userfaultfd handler ran, and
 * the processor's fault is handled once more before that (VM_FAULT_RETRY).
 */
export function handleFault(
  k: Kernel,
  mm: Mm,
  vpn: number,
  isWrite: boolean,
): "ok" | "handled" | AccessError {
  const { fault } = k;
  k.vmstat.pgfault++;
  fault.begin(mm, vpn, isWrite);
  const result = fault.run(k);
  if (result === "retry") return "ok";
  if (result !== "userfault") return result;
  fault.vma.userfaultfd?.handler(vpn);
  if (isWriteProtected(k, mm, vpn))
    throw new Error(
      `userfaultfd: the handler returned, and page 0x${(vpn * PAGE_SIZE).toString(16)} is still write-protected: ` +
        "un-protect it there",
    );
  return "handled";
}

function isWriteProtected(k: Kernel, mm: Mm, vpn: number): boolean {
  const table = mm.pageTables.find(vpn);
  if (table === 0 || ((mm.find(vpn)?.flags ?? 0) & VM_UFFD_WP) === 0) return false;
  const lo = k.pageTables.chunkOf(table)[entryOffset(table, vpn)];
  return isPtePresent(lo) && (lo & PTE_UFFD_WP) !== 0;
}
