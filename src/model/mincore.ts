/** mincore (`mm/mincore.c`), for an owner of the file: looks pages up, changes nothing. */

import { ERRNO, isPteNone, isPtePresent } from "../abi/index.ts";
import { isMarker, pteSwapEntry } from "./entries.ts";
import type { Kernel } from "./kernel.ts";
import type { Mm } from "./mm.ts";
import { entryOffset } from "./page-table.ts";
import { isInCore } from "./shmem.ts";
import type { Vma } from "./vma.ts";

/**
 * 1 for each page of `start` to `end` that is in memory, else 0, into `vector`. Returns 0, or minus ENOMEM at a gap.
 */
export function mincore(k: Kernel, mm: Mm, start: number, end: number, vector: Uint8Array): number {
  for (let vpn = start; vpn < end; vpn++) {
    const vma = mm.find(vpn);
    if (vma === undefined) return -ERRNO.ENOMEM;
    vector[vpn - start] = isResident(k, vma, vpn) ? 1 : 0;
  }
  return 0;
}

function isResident(k: Kernel, vma: Vma, vpn: number): boolean {
  const table = vma.mm.pageTables.find(vpn);
  if (table !== 0) {
    const chunk = k.pageTables.chunkOf(table);
    const i = entryOffset(table, vpn);
    k.work.pteReads++;
    const lo = chunk[i];
    const hi = chunk[i + 1];
    if (isPtePresent(lo)) return true;
    if (!isPteNone(lo, hi) && !isMarker(k, lo, hi)) return k.swap.lookUp(pteSwapEntry(lo, hi)) > 0;
  }
  return vma.object !== null && isInCore(k, vma.object, vma.indexOf(vpn));
}
