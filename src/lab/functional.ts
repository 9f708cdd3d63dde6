/**
 * The functional test of the RFC "mm: Enable PM_SWAP for shmem with PTE_MARKER": one page of shared memory
 * through its whole life, and what its pagemap entry says after each step.
 */

import { isPresent, isSwap, type Machine, parseProgram, runProgram } from "../script/index.ts";

/** A row of the test: a step of the page's life, and the pagemap bits after it. */
export interface FunctionalRow {
  readonly step: string;
  /** What the swap bit should be. */
  readonly expect: 0 | 1;
  readonly present: 0 | 1;
  readonly swap: 0 | 1;
}

export interface FunctionalResult {
  /** Whether every row's swap bit is what it should be. */
  readonly pass: boolean;
  readonly rows: readonly FunctionalRow[];
}

/** The test's ops; those that have a row, with its name and the swap bit to expect. */
const STEPS: readonly { readonly op: string; readonly row?: string; readonly expect?: 0 | 1 }[] = [
  { op: "obj o0 1" },
  { op: "map A v0 o0 0 1 rw" },
  { op: "write A v0 0 1", row: "FAULT1", expect: 0 },
  { op: "madvise A v0 0 1 PAGEOUT", row: "PAGEOUT", expect: 1 },
  { op: "write A v0 0 1", row: "FAULT2", expect: 0 },
  { op: "madvise A v0 0 1 REMOVE", row: "REMOVE", expect: 0 },
  { op: "write A v0 0 1" }, // the RFC's program prints nothing for this one
  { op: "madvise A v0 0 1 PAGEOUT", row: "PAGEOUT", expect: 1 },
  { op: "madvise A v0 0 1 REMOVE", row: "REMOVE", expect: 0 },
];

/** The test as a program of the op language. */
export const FUNCTIONAL_PROGRAM = STEPS.map(({ op }) => op).join("\n");

/** The two bits of the test's page. */
export type PageBits = Pick<FunctionalRow, "present" | "swap">;

/** How the page is looked at after a step, `shown` being its pagemap entry in the recorded format. */
export type Look = (shown: string) => PageBits;

/** What the entry itself shows. */
export const pagemapBits: Look = (shown) => ({
  present: isPresent(shown) ? 1 : 0,
  swap: isSwap(shown) ? 1 : 0,
});

/**
 * Runs the test on a machine, which stays open. `look` is called after every step in which there is a page.
 *
 * @throws {Error} when an op fails, since its row would tell nothing
 */
export function runFunctionalTest(machine: Machine, look = pagemapBits): FunctionalResult {
  const program = parseProgram(FUNCTIONAL_PROGRAM, { file: "functional test" });
  const rows: FunctionalRow[] = [];
  let index = 0;
  for (const { errno, procs } of runProgram(program, machine)) {
    const { op, row, expect } = STEPS[index++];
    if (errno !== "") throw new Error(`the functional test cannot be run here: "${op}" failed with ${errno}`);
    const shown = procs.A.v0?.[0];
    if (shown === undefined) continue;
    const bits = look(shown);
    if (row !== undefined && expect !== undefined) rows.push({ step: row, expect, ...bits });
  }
  return { pass: rows.every(({ expect, swap }) => expect === swap), rows };
}

/** A row as the RFC's own program prints it. */
export function formatFunctionalRow({ step, expect, present, swap }: FunctionalRow): string {
  return `${`${step} (expect swap==${expect})`.padStart(30)}: present bit ${present}, swap bit ${swap}`;
}
