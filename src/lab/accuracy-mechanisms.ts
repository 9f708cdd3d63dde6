/** The mechanisms whose PM_SWAP is judged, as machines of the model. */

import type { KernelConfig } from "../model/index.ts";
import { createModelMachine } from "../script/index.ts";
import { type Accuracy, type AccuracyOptions, measureAccuracy } from "./accuracy.ts";
import type { Mechanism } from "./error-cause.ts";
import { type Workload, type WorkloadOptions, workloadProgram } from "./workload.ts";

export interface ModelMechanism {
  readonly name: string;
  readonly mechanism: Mechanism;
  readonly profile: string;
  readonly config: Partial<KernelConfig>;
}

export const MODEL_MECHANISMS: readonly ModelMechanism[] = [
  { name: "none", mechanism: "none", profile: "linux-6.1", config: {} },
  { name: "marker", mechanism: "marker", profile: "rfc", config: {} },
  {
    name: "filled marker",
    mechanism: "marker",
    profile: "rfc",
    config: { FAULT_AROUND_MARKERS: true },
  },
  { name: "look-up", mechanism: "look-up", profile: "linux-6.1", config: { PAGEMAP_SHMEM_LOOKUP: true } },
  { name: "stand-in", mechanism: "stand-in", profile: "linux-6.18", config: {} },
];

/** A mechanism of the model over a workload. */
export function measureModelAccuracy(
  { mechanism, profile, config }: ModelMechanism,
  workload: Workload,
  options: WorkloadOptions,
  other: Omit<AccuracyOptions, "mechanism"> = {},
): Accuracy {
  const memoryPages = 4 * options.pages + 256;
  const machine = createModelMachine({ profile, config, memoryPages, swapPages: 2 * options.pages });
  try {
    return measureAccuracy(machine, workloadProgram(workload, options), { mechanism, ...other });
  } finally {
    machine.close();
  }
}
