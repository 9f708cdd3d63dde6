/** Flaws of PM_SWAP by markers, each as the shortest program that shows it; and the RFC's functional test. */

import { type Machine, type Op, parseProgram } from "../script/index.ts";
import { type Accuracy, type AccuracyOptions, measureAccuracy } from "./accuracy.ts";
import type { ErrorCause } from "./error-cause.ts";
import { FUNCTIONAL_PROGRAM } from "./functional.ts";

export interface Scenario {
  readonly id: string;
  readonly title: string;
  /** Who says so: the RFC itself claims or admits it; or it does not. */
  readonly kind: "claimed" | "admitted" | "not admitted";
  /** What the RFC says of it. */
  readonly said: string;
  /** What there is to know about it. */
  readonly remark: string;
  readonly program: string;
  /** What goes wrong with markers; undefined if nothing must. */
  readonly cause: ErrorCause | undefined;
}

const scenario = (
  id: string,
  kind: Scenario["kind"],
  cause: ErrorCause | undefined,
  title: string,
  remark: string,
  program: readonly string[],
): Scenario => ({
  id,
  kind,
  cause,
  title,
  remark,
  said: SAID[id] ?? NOT_LISTED,
  program: program.join("\n"),
});

const NOT_LISTED = "Not in its list of flaws.";
const SAID: Readonly<Record<string, string>> = {
  functional: "The bit is right after each step.",
  zap: "Truncation, migration, splits and MADV_DONTNEED leave no marker.",
  "zapped-sharer": "A sharer whose PTE was zapped before gets no marker.",
  fork: "Fork copies no PTEs of shared memory, so the child has no marker.",
};

const WRITTEN = ["obj o0 4", "map A v0 o0 0 4 rw", "write A v0 0 4"];
const PAGED_OUT = [...WRITTEN, "madvise A v0 0 4 PAGEOUT"];

export const SCENARIOS: readonly Scenario[] = [
  scenario(
    "functional",
    "claimed",
    undefined,
    "The functional test",
    "fault, page-out, fault, removal, page-out, removal: the bit is right after each",
    [FUNCTIONAL_PROGRAM],
  ),
  scenario(
    "zap",
    "claimed",
    undefined,
    "Only page-out leaves a marker",
    "MADV_DONTNEED and truncation of resident pages leave empty PTEs",
    [...WRITTEN, "madvise A v0 0 2 DONTNEED", "truncate o0 2"],
  ),
  scenario(
    "zapped-sharer",
    "admitted",
    "PTE zapped before page-out",
    "One of two sharers was zapped before",
    "only the other gets a marker: one page, two answers",
    [...WRITTEN, "fork A B", "read B v0 0 4", "madvise A v0 0 4 DONTNEED", "reclaim"],
  ),
  scenario(
    "fork",
    "admitted",
    "fork",
    "Fork",
    "the child's page table is empty: nothing of what is in swap is shown to it",
    [...PAGED_OUT, "fork A B"],
  ),
  scenario(
    "fork-and-exit",
    "not admitted",
    "fork",
    "Fork, and the parent ends",
    "no process is left that sees the pages: who dumps a process by present or swapped loses them all",
    [...PAGED_OUT, "fork A B", "exit A"],
  ),
  scenario(
    "other-process",
    "not admitted",
    "another process' fault",
    "Another process faults the pages in",
    "nobody corrects this process' markers",
    [...PAGED_OUT, "fork A B", "write B v0 0 4"],
  ),
  scenario(
    "page-out-again",
    "not admitted",
    "another process' fault",
    "A reader brings pages back, and they are to go out again",
    "the RFC's own use: MADV_PAGEOUT does nothing where the PTE is a marker, so the pages stay in " +
      "memory, shown as swapped",
    [...PAGED_OUT, "fork A B", "read B v0 0 4", "madvise B v0 0 4 DONTNEED", "madvise A v0 0 4 PAGEOUT"],
  ),
  scenario(
    "descriptor",
    "not admitted",
    "descriptor",
    "The descriptor is read",
    "a snapshot or a copy through the descriptor brings pages back, under markers",
    [...PAGED_OUT, "readfd o0 0 4"],
  ),
  scenario("swapoff", "not admitted", "swapoff", "Swapoff", "everything is back, every marker stays", [
    ...PAGED_OUT,
    "swapoff",
  ]),
  scenario(
    "no-swap",
    "not admitted",
    "not written out",
    "Page-out without swap",
    "the marker is left when the page is unmapped, before it is known whether it can be written",
    [...WRITTEN, "swapoff", "madvise A v0 0 4 PAGEOUT"],
  ),
  scenario(
    "clean-hole",
    "not admitted",
    "clean hole dropped",
    "A hole that was only read",
    "is clean memory, is dropped and not written, and leaves a marker: swapped, but nothing is in swap",
    ["obj o0 4", "map A v0 o0 0 4 rw", "read A v0 0 4", "madvise A v0 0 4 PAGEOUT"],
  ),
  scenario(
    "marker-zapped",
    "not admitted",
    "marker zapped",
    "MADV_DONTNEED after page-out",
    "drops the marker although the page is still in swap",
    [...PAGED_OUT, "madvise A v0 0 4 DONTNEED"],
  ),
  scenario(
    "mapped-after",
    "not admitted",
    "mapped after page-out",
    "Mapped after page-out",
    "a new mapping of the object shows nothing of what is in swap",
    [...PAGED_OUT, "map A v1 o0 0 4 r"],
  ),
  scenario(
    "never-mapped",
    "not admitted",
    "never mapped here",
    "Paged out before it was touched here",
    "a mapping whose pages only others touched gets no marker",
    [...WRITTEN, "map A v1 o0 0 4 r", "madvise A v0 0 4 PAGEOUT"],
  ),
  scenario(
    "uffd-wp",
    "not admitted",
    "uffd-wp took its place",
    "Write-protected through userfaultfd, and un-protected",
    "the marker for write-protection takes the other's place, and goes: a snapshot by write-protection loses the bits",
    [...PAGED_OUT, "uffd A v0", "uffdwp A v0 0 4 1", "uffdwp A v0 0 4 0"],
  ),
];

export interface ScenarioOutcome {
  readonly accuracy: Accuracy;
  /** Pages for which the answer is wrong after the last step. */
  readonly wrongAtEnd: number;
  /** Whether its cause was seen; where nothing must go wrong, whether nothing did. */
  readonly isAsExpected: boolean;
}

export function scenarioOps({ id, program }: Scenario): Op[] {
  return parseProgram(program, { file: `scenario ${id}` }).steps.map(({ op }) => op);
}

/** Four pages written and paged out, with which most scenarios begin. */
export function pagedOutOps(): Op[] {
  return parseProgram(PAGED_OUT.join("\n"), { file: "paged out" }).steps.map(({ op }) => op);
}

/** Judges an accuracy that was measured over a scenario. */
export function outcomeOf({ cause }: Scenario, accuracy: Accuracy): ScenarioOutcome {
  const last = accuracy.steps - 1;
  const wrongAtEnd = accuracy.falseNegativesByStep[last] + accuracy.falsePositivesByStep[last];
  const isAsExpected =
    cause === undefined
      ? accuracy.causes.length === 0
      : accuracy.causes.some((seen) => seen.cause === cause) && wrongAtEnd > 0;
  return { accuracy, wrongAtEnd, isAsExpected };
}

/** Runs a scenario on a machine, which stays open. */
export function runScenario(scenario: Scenario, machine: Machine, options: AccuracyOptions): ScenarioOutcome {
  return outcomeOf(scenario, measureAccuracy(machine, scenarioOps(scenario), options));
}
