/** Running faults and page-outs a stage at a time, in an order that somebody chooses. */

import type { Access } from "./access.ts";
import type { Fault } from "./fault.ts";
import type { Kernel } from "./kernel.ts";
import type { PageOut } from "./page-out.ts";

/** Something that goes through stages. */
export type Task = Access | Fault | PageOut;

/**
 * Steps the tasks until all are done. `choose(n)` picks which of the `n` that can go on does the next stage,
 * 0 to n - 1; so the same scenario runs in any order, at random from a seed, or in all orders there are.
 * Throws if none can go on, which would be a deadlock of the model.
 */
export function interleave(k: Kernel, tasks: readonly Task[], choose: (count: number) => number): void {
  for (;;) {
    const unfinished = tasks.filter((task) => task.stage !== "done");
    if (unfinished.length === 0) return;
    const waiting = new Set<Task>();
    for (;;) {
      const ready = unfinished.filter((task) => !waiting.has(task));
      if (ready.length === 0)
        throw new Error(
          `deadlock: ${unfinished.map((task) => task.stage).join(", ")} all wait for a page lock`,
        );
      const task = ready[choose(ready.length)];
      task.step(k);
      // A task that found a page locked has done nothing, and another must go on first.
      if (!("isBlocked" in task) || !task.isBlocked) break;
      waiting.add(task);
    }
  }
}
