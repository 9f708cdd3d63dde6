/** Why PM_SWAP is wrong for a page: a closed set of causes, found from what came before. */

import type { Op } from "../script/index.ts";

/** The page is in swap and the bit is not set. */
export const FALSE_NEGATIVE_CAUSES = {
  "no mechanism": "page-out leaves an empty PTE",
  "PTE zapped before page-out":
    "the RFC's first known flaw: this sharer's PTE had been zapped, so only others got a marker",
  fork: "the RFC's second known flaw: fork copies no PTE of shared memory, markers included",
  "never mapped here": "page-out found no PTE in this process: it had not touched the page",
  "marker zapped": "MADV_DONTNEED dropped the marker while the page was in swap",
  "uffd-wp took its place": "write-protecting replaced the marker, un-protecting dropped what replaced it",
  "moved by mremap": "mremap drops the markers of write-protection, which page-out had left alone",
  "mapped after page-out": "a new mapping of what was in swap already",
  "not armed": "the stand-in: the page was written, and paged out before it was armed again",
  "no page table": "the look-up asks nothing where there is no page table",
  "other (bit not set)": "none of these",
} as const;

/** The bit is set and the page is not in swap. */
export const FALSE_POSITIVE_CAUSES = {
  "another process' fault": "it brought the page back; this process' marker stays",
  "another mapping's fault": "the same process brought the page back through another mapping",
  descriptor: "read or write of the object's descriptor brought the page back",
  swapoff: "swapoff brought the page back",
  removed: "the page was removed, and the marker stayed",
  "clean hole dropped": "a hole that was only read is dropped at page-out, not written, and leaves a marker",
  "not written out": "the PTE was unmapped for page-out, which then could not be done",
  "read ahead": "MADV_WILLNEED brought a copy into the swap cache; the page's place in swap is still its own",
  "uffd-wp marker": "write-protecting a page that is not mapped leaves a marker, and nothing is in swap",
  "zap left a marker": "the stand-in: MADV_DONTNEED of a write-protected page leaves a marker",
  "other (bit set)": "none of these",
} as const;

export type FalseNegativeCause = keyof typeof FALSE_NEGATIVE_CAUSES;
export type FalsePositiveCause = keyof typeof FALSE_POSITIVE_CAUSES;
export type ErrorCause = FalseNegativeCause | FalsePositiveCause;

export function isFalseNegative(cause: ErrorCause): cause is FalseNegativeCause {
  return Object.hasOwn(FALSE_NEGATIVE_CAUSES, cause);
}

/** What was so for a page of a mapping before the op after which its bit is wrong. */
export interface Before {
  readonly isPresent: boolean;
  readonly isWriteProtected: boolean;
  readonly hasBit: boolean;
  /** The object's page: "S" in swap, "R" in memory, "H" a hole. */
  readonly letter: string;
  /** Since the mapping was made here. */
  readonly wasEverPresent: boolean;
  readonly mappingIsNew: boolean;
  readonly mappingIsForked: boolean;
}

/** What tells that a page is in swap. The stand-in and the exact detector arm what is present. */
export type Mechanism = "none" | "marker" | "look-up" | "stand-in" | "exact";

export function falseNegativeCause(mechanism: Mechanism, op: Op, before: Before): FalseNegativeCause {
  if (mechanism === "none") return "no mechanism";
  if (mechanism === "look-up") return "no page table";
  if (mechanism === "exact") return "other (bit not set)";
  if (before.mappingIsForked && !before.wasEverPresent) return "fork";
  if (before.letter === "S") {
    if (before.mappingIsNew) return "mapped after page-out";
    if (op.kind === "uffdwp") return "uffd-wp took its place";
    if (op.kind === "mremap") return "moved by mremap";
    return before.hasBit && op.kind === "madvise" ? "marker zapped" : "other (bit not set)";
  }
  if (before.isPresent)
    return mechanism === "stand-in" && !before.isWriteProtected ? "not armed" : "other (bit not set)";
  return before.wasEverPresent ? "PTE zapped before page-out" : "never mapped here";
}

function isRemoval(op: Op): boolean {
  return op.kind === "punch" || op.kind === "truncate" || (op.kind === "madvise" && op.advice === "REMOVE");
}

/** `proc` is the process whose bit it is, `letter` the object's page now. */
export function falsePositiveCause(
  mechanism: Mechanism,
  op: Op,
  before: Before,
  { proc, letter }: { readonly proc: string; readonly letter: string },
): FalsePositiveCause {
  if (mechanism === "exact") return "other (bit set)";
  if (letter === "H" && isRemoval(op)) return "removed";
  if (op.kind === "uffdwp") return "uffd-wp marker";
  if (op.kind === "madvise" && op.advice === "WILLNEED") return "read ahead";
  if (!before.hasBit && op.kind === "madvise" && op.advice === "DONTNEED") return "zap left a marker";
  if (!before.hasBit) return letter === "H" ? "clean hole dropped" : "not written out";
  if (op.kind === "swapoff") return "swapoff";
  if (op.kind === "readfd" || op.kind === "writefd") return "descriptor";
  if (op.kind === "read" || op.kind === "write" || op.kind === "madvise")
    return op.proc === proc ? "another mapping's fault" : "another process' fault";
  return "other (bit set)";
}
