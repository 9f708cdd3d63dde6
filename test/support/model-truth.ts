// Where the pages of a process of the model are, found in its data structures and not as the detectors find it.
import { isMarkerPte, isPteNone, isPtePresent } from "../../src/abi/index.ts";
import type { Kernel, Process } from "../../src/model/index.ts";
import { entryOffset } from "../../src/model/page-table.ts";
import { pageState } from "../../src/model/shmem.ts";
import type { PageState } from "../../src/residency/index.ts";

export interface TrueArea {
  readonly start: number;
  readonly states: readonly PageState[];
}

export function trueAreas(kernel: Kernel, process: Process): TrueArea[] {
  return process.mm.vmas.map((vma) => {
    const states: PageState[] = [];
    for (let vpn = vma.start; vpn < vma.end; vpn++) {
      const own = ofPageTable(kernel, process, vpn);
      const otherwise = vma.object === null ? "hole" : pageState(kernel, vma.object, vma.indexOf(vpn));
      states.push(own ?? otherwise);
    }
    return { start: vma.start * 4096, states };
  });
}

function ofPageTable(kernel: Kernel, process: Process, vpn: number): "present" | "swapped" | undefined {
  const table = process.mm.pageTables.find(vpn);
  if (table === 0) return undefined;
  const chunk = kernel.pageTables.chunkOf(table);
  const i = entryOffset(table, vpn);
  const [lo, hi] = [chunk[i], chunk[i + 1]];
  if (isPtePresent(lo)) return "present";
  if (isPteNone(lo, hi) || (kernel.markers !== undefined && isMarkerPte(kernel.markers, lo, hi)))
    return undefined;
  return "swapped";
}
