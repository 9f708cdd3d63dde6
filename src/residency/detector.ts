/**
 * What a detector answers, and what all four have in common: the page table is looked at, where it leaves a doubt the
 * object may be asked, and the answer is counted.
 */

import { FileQuestion } from "./file-question.ts";
import {
  MARKED,
  noCounts,
  PAGE_STATES,
  STALE,
  STATE_MASK,
  type StateCounts,
  SWAP_CACHED,
  SWAPPED,
  UNKNOWN,
} from "./page-state.ts";
import { ASK, PageTableLook } from "./page-table-look.ts";
import { ShmemQuestion } from "./shmem-question.ts";
import { type Mapping, type ObjectView, pagesOf, type Target } from "./target.ts";

export type DetectorName = "pagemap" | "page-cache" | "marker" | "exact";

/** Where the pages of a mapping are. */
export interface MappingScan {
  readonly mapping: Mapping;
  /** One byte a page: a state and flags (`page-state.ts`). */
  readonly states: Uint8Array;
  readonly counts: StateCounts;
  /** Pages about which the object was asked. */
  readonly asked: number;
  /** Why pages are unknown, and what else one must know to read the answer; "" if nothing. */
  readonly note: string;
}

/** Tells where the pages of a process are. Looking changes nothing: no page is faulted in. */
export interface Detector {
  readonly name: DetectorName;
  scan(mapping: Mapping): MappingScan;
  /** Forgets what it knows of other mappings than these. */
  keepOnly?(mappings: readonly Mapping[]): void;
}

/** Looks at a mapping's page table: pages that only the object can tell about are marked ASK. */
export class MappingLook {
  readonly #look: PageTableLook;

  constructor(target: Target) {
    this.#look = new PageTableLook(target);
  }

  look(mapping: Mapping): { readonly states: Uint8Array; readonly notes: Notes } {
    const states = new Uint8Array(pagesOf(mapping));
    const notes = new Notes();
    const read = this.#look.read(mapping, states);
    if (read < states.length && mapping.kind !== "special")
      notes.add("the process has ended, or its pagemap ends here");
    return { states, notes };
  }
}

/** Asks an object about the pages marked ASK. */
export class ObjectQuestion {
  /** Pages it has asked about since it was set to 0. */
  asked = 0;
  readonly #shmem = new ShmemQuestion();
  readonly #file = new FileQuestion();

  /** Returns what can't be told and why, or "". */
  ask(view: ObjectView, mapping: Mapping, states: Uint8Array): string {
    for (let i = 0; i < states.length; i++) this.asked += states[i] >>> 7;
    const question = { firstPage: mapping.objectFirstPage, states, isShared: mapping.shared };
    if (mapping.kind === "shmem") return this.#shmem.ask(view, question);
    this.#file.ask(view, question);
    return "";
  }
}

/** Sentences, each once. */
export class Notes {
  readonly #notes = new Set<string>();

  add(note: string): void {
    if (note !== "") this.#notes.add(note);
  }

  toString(): string {
    return [...this.#notes].join("; ");
  }
}

/** What becomes of a byte of states at the end: pages still marked ASK get a state, stale markers their flag. */
export type Outcome = Uint8Array;

/** `asked` gives the state of a page that was not asked about; its MARKED flag is `isMarked`. */
export function outcomeOf(asked: (isMarked: boolean) => number): Outcome {
  return Uint8Array.from({ length: 256 }, (_, byte) => {
    const isMarked = (byte & MARKED) !== 0;
    const state = (byte & ASK) !== 0 ? asked(isMarked) : byte & STATE_MASK;
    const isStale = isMarked && state !== SWAPPED && state !== SWAP_CACHED && state !== UNKNOWN;
    return (byte & ~(ASK | STATE_MASK)) | state | (isStale ? STALE : 0);
  });
}

/** For detectors that ask: what nobody answered is unknown. */
export const UNANSWERED_IS_UNKNOWN = outcomeOf(() => UNKNOWN);

/** Ends a scan: applies the outcome, counts, and says of the counts what must be said. */
export function finish(
  mapping: Mapping,
  states: Uint8Array,
  notes: Notes,
  outcome: Outcome,
  asked = 0,
): MappingScan {
  // By runs: counting each page would wait for the count of the page before.
  const histogram = new Uint32Array(256);
  let run = -1;
  let from = 0;
  for (let i = 0; i < states.length; i++) {
    const byte = outcome[states[i]];
    states[i] = byte;
    if (byte === run) continue;
    if (run >= 0) histogram[run] += i - from;
    run = byte;
    from = i;
  }
  if (run >= 0) histogram[run] += states.length - from;
  const counts = noCounts();
  for (let byte = 0; byte < 256; byte++) counts[PAGE_STATES[byte & STATE_MASK]] += histogram[byte];
  remark(mapping, counts, notes);
  return { mapping, states, counts, asked, note: notes.toString() };
}

function remark({ kind, shared }: Mapping, counts: StateCounts, notes: Notes): void {
  if (counts.unknown > 0) {
    if (kind === "special") notes.add("a mapping of the kernel's or of a device: nobody can be asked");
    if (kind === "hugetlb")
      notes.add("hugetlbfs is never swapped, and can't be asked about pages not mapped here");
    if (!shared && (kind === "anon" || kind === "shmem" || kind === "file"))
      notes.add(
        "unknown entries of a private mapping: write-protected through userfaultfd (CAP_SYS_ADMIN would tell a " +
          "marker from swap), poisoned, or on their way elsewhere in memory",
      );
  }
  if (counts.swapped > 0 && !shared)
    notes.add("a private page in swap may have a copy in the swap cache too");
  if (counts["on-disk"] > 0) notes.add("on-disk counts holes of sparse files");
}

export interface PageTableAnswer {
  readonly outcome: Outcome;
  /** Why pages of an object are unknown that the page table says nothing of. */
  readonly remark: string;
}

/** A scan of the page table alone: the object is not asked. */
export function scanPageTable(
  looker: MappingLook,
  mapping: Mapping,
  { outcome, remark }: PageTableAnswer,
): MappingScan {
  const { states, notes } = looker.look(mapping);
  const scan = finish(mapping, states, notes, outcome);
  if (scan.counts.unknown === 0 || (mapping.kind !== "shmem" && mapping.kind !== "file")) return scan;
  notes.add(remark);
  return { ...scan, note: notes.toString() };
}
