/** Which shared memory there is on this machine, where its pages are and who maps it. */

import { LinuxError } from "../linux/linux-error.ts";
import { isKernelThread, listPids } from "../linux/procfs.ts";
import { LinuxTarget } from "./linux-target.ts";
import { addCounts, countStates, noCounts, type StateCounts } from "./page-state.ts";
import { ASK } from "./page-table-look.ts";
import { ShmemQuestion } from "./shmem-question.ts";
import { isRefusal, type Mapping, pagesOf } from "./target.ts";

/**
 * An object of shared memory that some process maps, as a whole: no page of it is present or not in a
 * process.
 */
export interface SharedObject {
  readonly id: string;
  readonly name: string;
  readonly pages: number;
  readonly counts: StateCounts;
  readonly holders: readonly Holder[];
  /** Why pages are unknown, or "". */
  readonly note: string;
}

/** A process that maps an object. */
export interface Holder {
  readonly pid: number;
  readonly name: string;
  /** Of the object's pages, as many as its mappings have. */
  readonly mappedPages: number;
}

export interface MachineOverview {
  /** Most in swap first. */
  readonly objects: readonly SharedObject[];
  readonly totals: StateCounts;
  readonly processes: number;
  /** Processes that we may not look at. */
  readonly refused: number;
}

export interface OverviewOptions {
  readonly isWanted: (mapping: Mapping) => boolean;
  /** Called with how many processes are done, of how many. */
  readonly onProgress: (done: number, processes: number) => void;
}

/** Pages of an object that are asked about at a time. */
const WINDOW_PAGES = 1 << 16;

/** Looks at all processes; what ends meanwhile is left out. */
export function takeOverview({ isWanted, onProgress }: OverviewOptions): MachineOverview {
  const survey = new Survey();
  const pids = listPids();
  let processes = 0;
  let refused = 0;
  for (const [index, pid] of pids.entries()) {
    onProgress(index, pids.length);
    try {
      if (isKernelThread(pid)) continue;
      using target = LinuxTarget.open(pid);
      survey.add(target, target.mappings().filter(isShared).filter(isWanted));
      processes++;
    } catch (error) {
      if (!(error instanceof LinuxError)) throw error;
      if (error.code !== "ESRCH") refused++;
    }
  }
  const objects = survey.objects();
  const totals = noCounts();
  for (const { counts } of objects) addCounts(totals, counts);
  return { objects, totals, processes, refused };
}

/** Private mappings of shared memory may hold copies, but the object is the same. */
function isShared({ kind }: Mapping): boolean {
  return kind === "shmem";
}

/** What an object said of itself. */
type Answer = Pick<SharedObject, "pages" | "counts" | "note">;

/** Objects by their ids, as they are found in one process after the other. */
class Survey {
  readonly #names = new Map<string, string>();
  readonly #answers = new Map<string, Answer>();
  readonly #holders = new Map<string, Holder[]>();
  readonly #states = new Uint8Array(WINDOW_PAGES);
  readonly #question = new ShmemQuestion();

  add(target: LinuxTarget, mappings: readonly Mapping[]): void {
    const mapped = new Map<string, number>();
    for (const mapping of mappings) {
      const { objectId, name } = mapping;
      mapped.set(objectId, (mapped.get(objectId) ?? 0) + pagesOf(mapping));
      this.#names.set(objectId, name);
      // Asked once; again where one process's way to it was closed.
      if ((this.#answers.get(objectId)?.note ?? "?") !== "")
        this.#answers.set(objectId, this.#ask(target, mapping));
    }
    for (const [id, mappedPages] of mapped) {
      const holders = this.#holders.get(id) ?? [];
      holders.push({ pid: target.pid, name: target.name, mappedPages });
      this.#holders.set(id, holders);
    }
  }

  #ask(target: LinuxTarget, mapping: Mapping): Answer {
    const object = target.openObject(mapping);
    const counts = noCounts();
    if (isRefusal(object)) {
      const pages = mapping.objectFirstPage + pagesOf(mapping); // at least
      return { pages, counts: { ...counts, unknown: pages }, note: object.reason };
    }
    using view = object;
    const pages = view.stat().sizePages;
    let note = "";
    for (let firstPage = 0; firstPage < pages; firstPage += WINDOW_PAGES) {
      const states = this.#states.subarray(0, Math.min(WINDOW_PAGES, pages - firstPage)).fill(ASK);
      note = this.#question.ask(view, { firstPage, states, isShared: true });
      addCounts(counts, countStates(states));
    }
    return { pages, counts, note };
  }

  objects(): SharedObject[] {
    const objects = [...this.#answers].map(([id, answer]) => ({
      id,
      name: this.#names.get(id) ?? "",
      holders: this.#holders.get(id) ?? [],
      ...answer,
    }));
    return objects.sort((a, b) => pagesInSwap(b.counts) - pagesInSwap(a.counts) || b.pages - a.pages);
  }
}

/** With a copy in memory or without. */
export function pagesInSwap(counts: StateCounts): number {
  return counts.swapped + counts["swap-cached"];
}
