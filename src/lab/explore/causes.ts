/** What an exploration may find, class by class. */

/** Which way a page's PM_SWAP is wrong; or what else is. */
export type FindingKind = "PM_SWAP clear, page swapped" | "PM_SWAP set, page not swapped" | "broken";

export interface FindingClass {
  readonly name: string;
  readonly kind: FindingKind;
  /** What happened, said of "the page" and "the process". */
  readonly says: string;
}

const CLEAR = "PM_SWAP clear, page swapped";
const SET = "PM_SWAP set, page not swapped";

/** In the order of their bits. */
export const CLASSES = [
  {
    name: "sharer-zapped",
    kind: CLEAR,
    says:
      "its PTE had been zapped before the page-out, so only the other sharer got a marker " +
      "(a flaw that the RFC lists)",
  },
  {
    name: "zapped",
    kind: CLEAR,
    says: "all PTEs of the page had been zapped before the page-out, so nobody got a marker",
  },
  {
    name: "forked",
    kind: CLEAR,
    says: "fork had not copied its parent's PTE, nor a marker (a flaw that the RFC lists)",
  },
  {
    name: "never-touched",
    kind: CLEAR,
    says: "it maps the page and has never touched it, so it had no PTE that could become a marker",
  },
  {
    name: "marker-zapped",
    kind: CLEAR,
    says: "its own MADV_DONTNEED dropped the marker, and the page stayed in swap",
  },
  { name: "no-marker", kind: CLEAR, says: "the page-out left nothing in its PTE" },
  { name: "unexplained-clear", kind: CLEAR, says: "and no cause that is known explains it" },
  { name: "swapoff", kind: SET, says: "swapoff brought the page back, and left the marker" },
  {
    name: "descriptor-read",
    kind: SET,
    says: "a read through the descriptor brought the page back, and left the marker",
  },
  {
    name: "descriptor-write",
    kind: SET,
    says: "a write through the descriptor brought the page back, and left the marker",
  },
  {
    name: "other-fault",
    kind: SET,
    says: "another process' fault brought the page back, and left this one's marker",
  },
  {
    name: "not-written",
    kind: SET,
    says: "the page-out left a marker, and then kept the page: no place in swap, or somebody used it",
  },
  {
    name: "clean-dropped",
    kind: SET,
    says:
      "the page had only been read, never written: the page-out dropped it, " +
      "all zero as it was, and left a marker",
  },
  {
    name: "in-flight",
    kind: SET,
    says:
      "for a moment: a page-out has unmapped the page and not written it yet, " +
      "or a fault has it and is not done",
  },
  { name: "marker-on-hole", kind: SET, says: "the page was removed from the object, and the marker stayed" },
  { name: "unexplained-set", kind: SET, says: "and no cause that is known explains it" },
  { name: "data-lost", kind: "broken", says: "a load or the page itself does not have what was stored last" },
  { name: "invariant", kind: "broken", says: "an invariant of the kernel does not hold" },
  {
    name: "bad-pte",
    kind: "broken",
    says: "the kernel finds a PTE that it can't make sense of, and kills the process",
  },
  {
    name: "endless-fault",
    kind: "broken",
    says: "the access faults, is handled, and faults again, for ever",
  },
  {
    name: "signal",
    kind: "broken",
    says: "an access that must succeed ends in a signal, or finds no memory",
  },
  { name: "call-failed", kind: "broken", says: "a system call that must succeed fails" },
  { name: "deadlock", kind: "broken", says: "all tasks wait, and none can go on" },
] as const satisfies readonly FindingClass[];

export type ClassName = (typeof CLASSES)[number]["name"];

const BIT = Object.fromEntries(CLASSES.map(({ name }, bit) => [name, 1 << bit])) as Record<ClassName, number>;

export function classBit(name: ClassName): number {
  return BIT[name];
}

/** Those after which there is no going on. */
export const FATAL = CLASSES.reduce((bits, { kind }, bit) => bits | (kind === "broken" ? 1 << bit : 0), 0);
