/** The benches as wholes: the model, and the running kernel where that is possible; what is not, is said. */

import { LinuxError } from "../linux/linux-error.ts";
import { measureFaultAround } from "./fault-around-cost.ts";
import { measureModelPagemap } from "./pagemap-cost.ts";
import type { PagemapBench } from "./pagemap-report.ts";
import { measureModelSwapIn } from "./swap-in.ts";
import type { SwapInBench } from "./swap-in-report.ts";

export interface BenchOptions {
  readonly sizePages: number;
  readonly rounds: number;
  readonly seed: number;
  /** What to swap to: live the one or the other, on the model memory or a file. */
  readonly device: "zram" | "file";
  /** Whether the running kernel is measured, if it can be. */
  readonly live: boolean;
  readonly onProgress?: (label: string) => void;
}

type LiveLab = typeof import("./live/index.ts");

interface Attempt<T> {
  readonly result: T | undefined;
  readonly obstacle: string;
}

/** Measures on the running kernel; what this kernel or these privileges do not allow is an obstacle, not a failure. */
export async function tryLive<T>(
  wanted: boolean,
  measure: (lab: LiveLab) => Promise<T>,
): Promise<Attempt<T>> {
  if (!wanted) return { result: undefined, obstacle: "not asked for" };
  try {
    return { result: await measure(await import("./live/index.ts")), obstacle: "" };
  } catch (error) {
    if (!(error instanceof LinuxError)) throw error;
    return { result: undefined, obstacle: error.message };
  }
}

export async function benchSwapIn(options: BenchOptions): Promise<SwapInBench> {
  const { device } = options;
  const swap = device === "file" ? "file" : "memory";
  const model = await measureModelSwapIn({ ...options, swap });
  const faultAround = measureFaultAround();
  const live = await tryLive(options.live, async (lab) => ({
    swapIn: await lab.measureLiveSwapIn(options),
    faultAround: await lab.measureLiveFaultAround(),
  }));
  return {
    model,
    faultAround,
    live: live.result?.swapIn,
    liveFaultAround: live.result?.faultAround,
    liveObstacle: live.obstacle,
  };
}

export async function benchPagemap(options: BenchOptions): Promise<PagemapBench> {
  const model = await measureModelPagemap(options);
  const live = await tryLive(options.live, (lab) => lab.measureLivePagemap(options));
  const { sizePages, rounds } = options;
  return { sizePages, rounds, model, live: live.result, liveObstacle: live.obstacle };
}
