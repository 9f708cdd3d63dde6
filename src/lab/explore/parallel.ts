/** A search by several threads. */

import { Worker } from "node:worker_threads";
import { KernelSpace } from "./kernel-space.ts";
import type { WorkerResult, WorkerTask } from "./messages.ts";
import type { ExploreScope } from "./scope.ts";
import { addFirst, addTally, newTally, type SearchTally, type Shard } from "./search.ts";
import { StateStore } from "./store.ts";

/** A search that can be stopped, kept and gone on with. */
export class ParallelSearch {
  readonly space: KernelSpace;
  readonly store: StateStore;
  readonly shard: Shard;
  readonly tally: SearchTally;

  constructor(space: KernelSpace, store: StateStore, shard: Shard, tally = newTally()) {
    this.space = space;
    this.store = store;
    this.shard = shard;
    this.tally = tally;
  }

  /** From the first state, with room for `capacity`. Throws a ConfigError for a scope that can't be. */
  static begin(scope: ExploreScope, shard: Shard, capacity: number): ParallelSearch {
    const space = new KernelSpace(scope);
    const store = StateStore.create(space.stride, capacity);
    addFirst(space, store);
    return new ParallelSearch(space, store, shard);
  }

  /** Runs until all is found, or {@link stop}. */
  async run(workers: number): Promise<void> {
    const task: WorkerTask = {
      scope: this.space.scope,
      shard: this.shard,
      buffers: this.store.buffers,
      workers,
    };
    const results = Array.from({ length: workers }, () => this.#runWorker(task));
    try {
      for (const { tally } of await Promise.all(results)) addTally(this.store, this.tally, tally);
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  #runWorker(task: WorkerTask): Promise<WorkerResult> {
    return new Promise((resolve, reject) => {
      const worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: task });
      worker.once("message", resolve);
      worker.once("error", reject);
    });
  }

  /** Ends the search as soon as what is being expanded is done. */
  stop(): void {
    this.store.stop();
  }
}
