/**
 * The RFC's performance test on the model: sequential swap-in of a range of shared memory, in the three configurations
 * of the RFC's table. What is timed is faulting the pages in, and nothing else.
 */

import type { KernelConfig } from "../model/index.ts";
import { ModelShmem } from "./model-shmem.ts";
import {
  type Contender,
  deviation,
  interleave,
  mean,
  type Ratio,
  ratioOf,
  type Series,
} from "./statistics.ts";

/** A row of the RFC's table. The first is what the others are compared with. */
export interface SwapInConfig {
  readonly name: string;
  readonly config: Partial<KernelConfig>;
}

export const SWAP_IN_CONFIGS: readonly SwapInConfig[] = [
  {
    name: "no PTE_MARKER",
    config: { PTE_MARKER: false, PTE_MARKER_PAGEOUT: false, PTE_MARKER_UFFD_WP: false },
  },
  { name: "PTE_MARKER", config: { PTE_MARKER_PAGEOUT: false } },
  { name: "PTE_MARKER and PTE_MARKER_PAGEOUT", config: { PTE_MARKER_PAGEOUT: true } },
];

export interface SwapInOptions {
  readonly sizePages: number;
  readonly rounds: number;
  readonly seed: number;
  /** Where the model's swap is: in memory, as zram, or in a real file. */
  readonly swap: "memory" | "file";
  readonly onProgress?: (label: string) => void;
}

export interface SwapInRow {
  readonly name: string;
  /** Time to fault the whole range in, by round. */
  readonly microseconds: readonly number[];
  readonly mean: number;
  readonly deviation: number;
  /** Against the first row; of means, with a 95 % bootstrap interval over rounds. Undefined for the first. */
  readonly change: Ratio | undefined;
}

export interface ModelSwapIn {
  readonly sizePages: number;
  readonly rounds: number;
  readonly swap: "memory" | "file";
  readonly rows: readonly SwapInRow[];
  /** For each row: what is done for each page, by the model's counters. A change without a clock. */
  readonly workAPage: readonly Readonly<Record<string, number>>[];
  /** Depends on the bytes that were read, and never on time. */
  readonly resultHash: number;
}

/** Turns series of nanoseconds a page into the RFC's table. */
export function swapInRows(series: readonly Series[], sizePages: number, seed: number): SwapInRow[] {
  return series.map((one, index) => {
    const microseconds = one.nsPerUnit.map((ns) => (ns * sizePages) / 1000);
    return {
      name: one.name,
      microseconds,
      mean: mean(microseconds),
      deviation: deviation(microseconds),
      change: index === 0 ? undefined : ratioOf(one, series[0], seed, mean),
    };
  });
}

/** Runs the test on the model. Every byte that was read back is compared after each round. */
export async function measureModelSwapIn(options: SwapInOptions): Promise<ModelSwapIn> {
  const { sizePages, rounds, seed, swap } = options;
  const content = { kind: "incompressible", seed } as const;
  const models: ModelShmem[] = [];
  try {
    for (const { config } of SWAP_IN_CONFIGS) {
      const model = new ModelShmem({ sizePages, swap, config });
      models.push(model);
      model.fill(content);
    }
    const contenders = models.map((model, index): Contender => {
      const { name } = SWAP_IN_CONFIGS[index];
      return {
        name,
        prepare: () => model.pageOutAll(),
        run: () => model.touchAll(),
        check: () => model.check({ ...content, what: name }),
      };
    });
    const series = await interleave(contenders, {
      rounds,
      unitsPerRun: sizePages,
      ...(options.onProgress === undefined ? {} : { onRound: options.onProgress }),
    });
    return {
      sizePages,
      rounds,
      swap,
      rows: swapInRows(series, sizePages, seed),
      workAPage: models.map((model) => {
        model.pageOutAll();
        const work = model.countWork(() => model.touchAll());
        return Object.fromEntries(Object.entries(work).map(([name, count]) => [name, count / sizePages]));
      }),
      resultHash: series.reduce((hash, one) => (hash ^ (one.hash ?? 0)) | 0, 0),
    };
  } finally {
    for (const model of models) model.close();
  }
}
