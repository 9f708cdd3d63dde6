/** What a search found: of each class the shortest way to it, told so that it can be replayed. */

import { CLASSES, type ClassName, type FindingKind } from "./causes.ts";
import type { KernelSpace } from "./kernel-space.ts";
import { NamedRun } from "./names.ts";
import { NO_MOVE, type SearchTally } from "./search.ts";
import type { StateStore } from "./store.ts";

export interface Finding {
  readonly class: ClassName;
  readonly kind: FindingKind;
  /** What happened. */
  readonly sentence: string;
  /** Operations and stages, a line each; before them come those of `preludeOf`. */
  readonly lines: readonly string[];
  /** Whether the lines are a program in the op language: no stages among them. */
  readonly isProgram: boolean;
  /** The moves, as a replay takes them. */
  readonly moves: readonly number[];
  /** How many transitions of the search showed the class. */
  readonly seen: number;
  /** The states passed, in hex: what decides between findings of one length. */
  readonly states: readonly string[];
}

/** Tells of all classes what was seen. Runs each on `space`. */
export function findingsOf(space: KernelSpace, store: StateStore, tally: SearchTally): Finding[] {
  const findings: Finding[] = [];
  CLASSES.forEach((_, bit) => {
    const sighting = tally.sightings[bit];
    if (sighting == null) return;
    const path = store.pathTo(sighting.state);
    const moves = sighting.move === NO_MOVE ? path : [...path, sighting.move];
    findings.push(
      findingOf(space, { moves, bit, seen: tally.counts[bit], isOfState: sighting.move === NO_MOVE }),
    );
  });
  return findings;
}

interface Seen {
  readonly moves: readonly number[];
  readonly bit: number;
  readonly seen: number;
  /** It is the state after the last move that is wrong. */
  readonly isOfState: boolean;
}

function findingOf(space: KernelSpace, { moves, bit, seen, isOfState }: Seen): Finding {
  const run = new NamedRun(space);
  space.detail = "";
  for (const [i, move] of moves.entries()) {
    if (!run.make(move)) throw new Error(`a finding does not replay: move ${move} can't be made`);
    if (isOfState || i < moves.length - 1) run.settle();
  }
  if (isOfState) space.check();
  const { name, kind } = CLASSES[bit];
  return {
    class: name,
    kind,
    sentence: sentenceOf(space, run, bit),
    lines: run.lines,
    isProgram: moves.every((move) => space.moves[move].kind === "op"),
    moves,
    seen,
    states: run.states.map(toHex),
  };
}

function sentenceOf(space: KernelSpace, run: NamedRun, bit: number): string {
  const { kind, says } = CLASSES[bit];
  const cell = space.where[bit];
  if (kind === "broken" || cell < 0) return `${says[0].toUpperCase()}${says.slice(1)}${detailOf(space)}.`;
  const { pages } = space.scope;
  const process = run.process(Math.floor(cell / pages));
  const page = run.page(cell % pages);
  const wrong =
    kind === "PM_SWAP clear, page swapped"
      ? `page ${page} is in swap, and process ${process}'s PM_SWAP is clear`
      : `process ${process}'s PM_SWAP is set, and page ${page} is not in swap`;
  return `${wrong[0].toUpperCase()}${wrong.slice(1)}: ${says}.`;
}

function detailOf(space: KernelSpace): string {
  return space.detail === "" ? "" : ` (${space.detail})`;
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Of each class the first of all: the findings that one search would have had, from those of its shards.
 * Counts are added up; what several shards saw is counted several times.
 */
export function mergeFindings(shards: readonly (readonly Finding[])[]): Finding[] {
  const merged: Finding[] = [];
  for (const { name } of CLASSES) {
    const all = shards.flatMap((findings) => findings.filter((finding) => finding.class === name));
    if (all.length === 0) continue;
    const first = all.reduce((best, finding) => (compareFindings(finding, best) < 0 ? finding : best));
    merged.push({ ...first, seen: all.reduce((sum, { seen }) => sum + seen, 0) });
  }
  return merged;
}

/**
 * In the order that a search decides by: length, last state, last move, then backwards the states and moves
 * before.
 */
export function compareFindings(a: Finding, b: Finding): number {
  if (a.moves.length !== b.moves.length) return a.moves.length - b.moves.length;
  if (a.states.length !== b.states.length) return a.states.length - b.states.length;
  for (let i = a.states.length - 1; i >= 0; i--) {
    const order = compareVectors(a.states[i], b.states[i]);
    if (order !== 0) return order;
    if (a.moves[i] !== b.moves[i]) return a.moves[i] - b.moves[i];
  }
  return 0;
}

/** As `StateStore.compareStates`: by 32-bit words, least significant byte first. */
function compareVectors(a: string, b: string): number {
  if (a === b) return 0;
  for (let at = 0; at < a.length; at += 8) {
    const order = wordOf(a, at) - wordOf(b, at);
    if (order !== 0) return order;
  }
  return 0;
}

function wordOf(hex: string, at: number): number {
  let word = 0;
  for (let byte = 3; byte >= 0; byte--)
    word = (word << 8) | Number.parseInt(hex.slice(at + byte * 2, at + byte * 2 + 2), 16);
  return word;
}
