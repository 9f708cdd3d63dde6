/** Accuracy as a whole: workloads, each with every mechanism of the model and with what this kernel answers. */

import { type Accuracy, shareRight } from "./accuracy.ts";
import { MODEL_MECHANISMS, type ModelMechanism, measureModelAccuracy } from "./accuracy-mechanisms.ts";
import { tryLive } from "./bench.ts";
import { type Workload, type WorkloadOptions, workloadProgram } from "./workload.ts";
import { workloadNamed } from "./workloads.ts";

export interface AccuracySuiteOptions {
  readonly workloads: readonly Workload[];
  readonly options: WorkloadOptions;
  /** The stand-in is armed again after every so many steps. */
  readonly rearmEvery: number;
  /** Whether the running kernel is asked, if it can be. */
  readonly live: boolean;
  readonly onProgress?: (label: string) => void;
}

/** A workload with one mechanism. */
export interface AccuracyCell {
  readonly workload: string;
  readonly mechanism: string;
  readonly accuracy: Accuracy;
}

/** How right the marker is as one option of a workload grows. */
export interface AccuracySweep {
  readonly workload: string;
  readonly option: "zapRate" | "processes";
  readonly points: readonly { readonly value: number; readonly share: number }[];
}

export interface AccuracySuite {
  readonly options: WorkloadOptions;
  readonly rearmEvery: number;
  readonly cells: readonly AccuracyCell[];
  readonly sweeps: readonly AccuracySweep[];
  readonly liveObstacle: string;
}

/** Who answers on the running kernel. */
export const ON_THIS_KERNEL = { standIn: "stand-in (live)", exact: "exact (live)" } as const;

/** The mechanism that the RFC is. */
export const MARKER = MODEL_MECHANISMS.find(({ name }) => name === "marker") as ModelMechanism;

const ZAP_RATES: readonly number[] = [0, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1];
const PROCESSES: readonly number[] = [1, 2, 3, 4, 6, 8];

export async function runAccuracySuite(suite: AccuracySuiteOptions): Promise<AccuracySuite> {
  const { workloads, options, rearmEvery } = suite;
  const cells: AccuracyCell[] = [];
  const add = (workload: Workload, mechanism: string, accuracy: Accuracy): void => {
    cells.push({ workload: workload.name, mechanism, accuracy });
  };
  for (const workload of workloads)
    for (const mechanism of MODEL_MECHANISMS) {
      suite.onProgress?.(`accuracy: ${workload.name}, ${mechanism.name}`);
      add(workload, mechanism.name, measureModelAccuracy(mechanism, workload, options, { rearmEvery }));
    }
  const live = await tryLive(suite.live, async ({ LiveAccuracyLab }) => {
    using lab = await LiveAccuracyLab.create();
    for (const workload of workloads) {
      suite.onProgress?.(`accuracy: ${workload.name}, this kernel`);
      const { standIn, exact } = lab.measure(workloadProgram(workload, options), { rearmEvery });
      add(workload, ON_THIS_KERNEL.standIn, standIn);
      add(workload, ON_THIS_KERNEL.exact, exact);
      // Signals are seen between two workloads, and not in one.
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
  return { options, rearmEvery, cells, sweeps: sweep(options), liveObstacle: live.obstacle };
}

function sweep(options: WorkloadOptions): AccuracySweep[] {
  const along = (
    workload: string,
    option: AccuracySweep["option"],
    values: readonly number[],
  ): AccuracySweep => ({
    workload,
    option,
    points: values.map((value) => ({
      value,
      share: shareRight(
        measureModelAccuracy(MARKER, workloadNamed(workload), { ...options, [option]: value }),
      ),
    })),
  });
  return [along("vm", "zapRate", ZAP_RATES), along("database", "processes", PROCESSES)];
}
