/** Everything that the claims are judged by, measured in one run. */

import { swapTypesOf } from "../model/config.ts";
import { makeConfig } from "../model/index.ts";
import { createModelMachine } from "../script/index.ts";
import { MODEL_MECHANISMS } from "./accuracy-mechanisms.ts";
import { type AccuracySuite, ON_THIS_KERNEL, runAccuracySuite } from "./accuracy-suite.ts";
import { type BenchOptions, benchPagemap, benchSwapIn, tryLive } from "./bench.ts";
import { type MarkerWork, measureMarkerWork } from "./marker-work.ts";
import type { PagemapBench } from "./pagemap-report.ts";
import { judgeRecordedTraces, type RecordedAccuracy } from "./recorded-accuracy.ts";
import {
  outcomeOf,
  pagedOutOps,
  runScenario,
  SCENARIOS,
  type ScenarioOutcome,
  scenarioOps,
} from "./scenarios.ts";
import type { SwapInBench } from "./swap-in-report.ts";
import { WORKLOAD_DEFAULTS } from "./workload.ts";
import { WORKLOADS } from "./workloads.ts";

export interface ClaimsOptions {
  /** Small sizes: what is counted is the same, times mean little. */
  readonly quick: boolean;
  readonly seed: number;
  readonly live: boolean;
  readonly onProgress?: (label: string) => void;
}

/** A scenario, by who answered. */
export interface ScenarioRow {
  readonly id: string;
  readonly byMechanism: Readonly<Record<string, ScenarioOutcome>>;
}

export interface ClaimsSuite {
  readonly quick: boolean;
  readonly seed: number;
  readonly swapIn: SwapInBench;
  /** The same with swap on a disk, as the RFC had it; smaller. */
  readonly swapInFile: SwapInBench;
  readonly pagemap: PagemapBench;
  readonly accuracy: AccuracySuite;
  readonly scenarios: readonly ScenarioRow[];
  /** The same causes, found in what a real kernel with the RFC showed. */
  readonly recorded: RecordedAccuracy;
  readonly markerWork: readonly MarkerWork[];
  /** What mincore says of pages in swap under markers, a digit a page. */
  readonly mincoreUnderMarkers: string;
  /** Swap areas that a kernel can have, without PTE_MARKER and with it. */
  readonly swapAreas: { readonly without: number; readonly with: number };
  readonly liveObstacle: string;
}

const GIB_PAGES = 2 ** 18;

interface SuiteSizes {
  readonly swapIn: Sizes;
  readonly swapInFile: Sizes;
  readonly pagemap: Sizes;
  readonly steps: number;
}

const QUICK: SuiteSizes = {
  swapIn: { sizePages: GIB_PAGES / 64, rounds: 3 },
  swapInFile: { sizePages: GIB_PAGES / 256, rounds: 2 },
  pagemap: { sizePages: GIB_PAGES / 64, rounds: 5 },
  steps: 100,
};

const FULL: SuiteSizes = {
  swapIn: { sizePages: GIB_PAGES, rounds: 5 },
  swapInFile: { sizePages: GIB_PAGES / 16, rounds: 5 },
  pagemap: { sizePages: GIB_PAGES, rounds: 31 },
  steps: WORKLOAD_DEFAULTS.steps,
};

/** The largest range that is measured. */
export function rangeOfClaims(quick: boolean): number {
  return (quick ? QUICK : FULL).swapIn.sizePages;
}

interface Sizes {
  readonly sizePages: number;
  readonly rounds: number;
}

export async function runClaims(options: ClaimsOptions): Promise<ClaimsSuite> {
  const { quick, seed, live, onProgress } = options;
  const size = quick ? QUICK : FULL;
  const progress = onProgress === undefined ? {} : { onProgress };
  const bench: Omit<BenchOptions, keyof Sizes | "device"> = { seed, live, ...progress };
  const { rows, obstacle } = await runScenarios(live);
  const accuracy = await runAccuracySuite({
    workloads: WORKLOADS,
    options: { ...WORKLOAD_DEFAULTS, seed, steps: size.steps },
    rearmEvery: 1,
    live,
    ...progress,
  });
  return {
    quick,
    seed,
    swapIn: await benchSwapIn({ ...bench, ...size.swapIn, device: "zram" }),
    swapInFile: await benchSwapIn({ ...bench, ...size.swapInFile, device: "file" }),
    pagemap: await benchPagemap({ ...bench, ...size.pagemap, device: "zram" }),
    accuracy,
    scenarios: rows,
    recorded: judgeRecordedTraces(),
    markerWork: measureMarkerWork(),
    mincoreUnderMarkers: mincoreUnderMarkers(),
    swapAreas: {
      without: swapTypesOf(makeConfig("linux-6.1", { PTE_MARKER: false, PTE_MARKER_UFFD_WP: false }))
        .maxSwapfiles,
      with: swapTypesOf(makeConfig("rfc")).maxSwapfiles,
    },
    liveObstacle: obstacle,
  };
}

function mincoreUnderMarkers(): string {
  const machine = createModelMachine({ profile: "rfc" });
  for (const [index, op] of pagedOutOps().entries()) machine.execute(op, index + 1);
  const { mincore } = machine.observe();
  machine.close();
  return mincore.A.v0;
}

async function runScenarios(live: boolean): Promise<{ rows: ScenarioRow[]; obstacle: string }> {
  const rows = SCENARIOS.map((scenario) => {
    const byMechanism: Record<string, ScenarioOutcome> = {};
    for (const { name, mechanism, profile, config } of MODEL_MECHANISMS) {
      const machine = createModelMachine({ profile, config });
      byMechanism[name] = runScenario(scenario, machine, { mechanism });
      machine.close();
    }
    return { id: scenario.id, byMechanism };
  });
  const { obstacle } = await tryLive(live, async ({ LiveAccuracyLab }) => {
    using lab = await LiveAccuracyLab.create();
    for (const [index, scenario] of SCENARIOS.entries()) {
      const { standIn, exact } = lab.measure(scenarioOps(scenario));
      rows[index].byMechanism[ON_THIS_KERNEL.standIn] = outcomeOf(scenario, standIn);
      rows[index].byMechanism[ON_THIS_KERNEL.exact] = outcomeOf(scenario, exact);
    }
  });
  return { rows, obstacle };
}
