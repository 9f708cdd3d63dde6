/** The RFC's series, patch by patch: what every subset of its four patches that can exist does. */

import type { KernelConfig } from "../model/index.ts";
import { createModelMachine } from "../script/index.ts";
import {
  DEFAULT_SCOPE,
  DEFAULT_STAGES,
  type ExploreScope,
  explore,
  type Finding,
  preludeOf,
} from "./explore/index.ts";
import { type FunctionalResult, runFunctionalTest } from "./functional.ts";

export interface Patch {
  readonly number: number;
  readonly title: string;
  /** The model's switch for it. */
  readonly switch: keyof KernelConfig;
  /** Patches that it can't be without. */
  readonly needs: readonly number[];
}

export const PATCHES: readonly Patch[] = [
  { number: 1, title: "the entry: a swap type for markers", switch: "PTE_MARKER", needs: [] },
  {
    number: 2,
    title: "a fault is finished if the PTE is what was seen first, none or not",
    switch: "finish_fault_orig_pte",
    needs: [],
  },
  {
    number: 3,
    title: "faults on markers are handled, zaps take them",
    switch: "handle_pte_marker",
    needs: [1],
  },
  { number: 4, title: "page-out of a shmem page installs one", switch: "PTE_MARKER_PAGEOUT", needs: [1] },
];

export interface SubsetResult {
  /** The patches that are in. */
  readonly patches: readonly number[];
  /** The RFC's functional test; undefined if it came to no end. */
  readonly functional: FunctionalResult | undefined;
  /** Why it came to none. */
  readonly stopped: string;
  /** What must not be: a crash, a hang, lost data; shortest first. */
  readonly broken: readonly SeriesFinding[];
  /** Where PM_SWAP is wrong; shortest first. */
  readonly wrong: readonly SeriesFinding[];
}

export interface SeriesFinding extends Finding {
  /** The lines that come before. */
  readonly prelude: readonly string[];
}

/** The subsets that can exist, the smallest first. */
export function subsets(): number[][] {
  const all = Array.from({ length: 2 ** PATCHES.length }, (_, bits) =>
    PATCHES.filter((_, i) => (bits & (1 << i)) !== 0),
  );
  return all
    .filter((patches) =>
      patches.every(({ needs }) => needs.every((number) => patches.some((p) => p.number === number))),
    )
    .map((patches) => patches.map(({ number }) => number))
    .sort((a, b) => a.length - b.length || Number(a.join("")) - Number(b.join("")));
}

/** A kernel with just these patches. */
export function configOf(patches: readonly number[]): Partial<KernelConfig> {
  const switches = PATCHES.map(({ number, switch: name }) => [name, patches.includes(number)]);
  // Write-protection's markers came after the RFC, and stand on its first three patches.
  return { ...Object.fromEntries(switches), PTE_MARKER_UFFD_WP: false };
}

/** Runs the functional test and two short explorations, of programs and of interleavings, on one subset. */
export function runSubset(patches: readonly number[]): SubsetResult {
  const config = configOf(patches);
  const scopes: ExploreScope[] = [
    { ...DEFAULT_SCOPE, config, depth: 5 },
    { ...DEFAULT_STAGES, config, depth: 2, calls: 0 },
  ];
  const found = scopes.flatMap((scope) =>
    explore(scope).findings.map((finding) => ({ ...finding, prelude: preludeOf(scope) })),
  );
  const shortest = new Map<string, SeriesFinding>();
  for (const finding of found) {
    const known = shortest.get(finding.class);
    if (known === undefined || finding.lines.length < known.lines.length)
      shortest.set(finding.class, finding);
  }
  const findings = [...shortest.values()].sort((a, b) => a.lines.length - b.lines.length);
  return {
    patches,
    ...runFunctional(config),
    broken: findings.filter(({ kind }) => kind === "broken"),
    wrong: findings.filter(({ kind }) => kind !== "broken"),
  };
}

function runFunctional(config: Partial<KernelConfig>): Pick<SubsetResult, "functional" | "stopped"> {
  const machine = createModelMachine({ profile: "rfc", config });
  try {
    return { functional: runFunctionalTest(machine), stopped: "" };
  } catch (error) {
    return { functional: undefined, stopped: error instanceof Error ? error.message : String(error) };
  } finally {
    machine.close();
  }
}

/** What a subset is good for, in a word or two. */
export type SubsetVerdict = "works" | "changes nothing" | "breaks";

export function verdictOf({ broken, functional }: SubsetResult): SubsetVerdict {
  if (broken.length > 0 || functional === undefined) return "breaks";
  return functional.pass ? "works" : "changes nothing";
}

/** Why a patch is there: what the whole series is without it, and all that needs it. */
export interface PatchReason {
  readonly patch: Patch;
  readonly without: readonly number[];
  readonly result: SubsetResult;
}

export function reasonsFor(results: readonly SubsetResult[]): PatchReason[] {
  return PATCHES.map((patch) => {
    const without = PATCHES.filter(
      ({ number, needs }) => number !== patch.number && !needs.includes(patch.number),
    ).map(({ number }) => number);
    const result = results.find(({ patches }) => patches.join() === without.join());
    if (result === undefined) throw new Error(`no result for patches ${without.join(", ")}`);
    return { patch, without, result };
  });
}
