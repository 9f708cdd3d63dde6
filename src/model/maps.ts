/** `/proc/PID/maps`: the areas of a process. Changes nothing. */

import { PAGE_SIZE } from "../abi/index.ts";
import type { Mm } from "./mm.ts";
import { VM_EXEC, VM_READ, VM_SHARED, VM_WRITE } from "./vma.ts";

export interface MapsEntry {
  /** First byte, and the byte after the last. */
  readonly start: number;
  readonly end: number;
  /** As "rw-s". */
  readonly perms: string;
  /** Where in the object it begins. */
  readonly offsetBytes: number;
  /** Which shmem object; 0 for anonymous memory. */
  readonly inode: number;
}

export function maps(mm: Mm): MapsEntry[] {
  return mm.vmas.map(({ start, end, flags, pgoff, object }) => ({
    start: start * PAGE_SIZE,
    end: end * PAGE_SIZE,
    perms: perms(flags),
    offsetBytes: object === null ? 0 : pgoff * PAGE_SIZE,
    inode: object?.id ?? 0,
  }));
}

/** As "rw-s". */
export function perms(flags: number): string {
  const letter = (flag: number, set: string, clear = "-"): string => ((flags & flag) === 0 ? clear : set);
  return letter(VM_READ, "r") + letter(VM_WRITE, "w") + letter(VM_EXEC, "x") + letter(VM_SHARED, "s", "p");
}
