/** One of a search's workers: a thread of its own, over the store that all share. */

import { parentPort, workerData } from "node:worker_threads";
import { KernelSpace } from "./kernel-space.ts";
import type { WorkerResult, WorkerTask } from "./messages.ts";
import { Searcher } from "./search.ts";
import { StateStore } from "./store.ts";

const { scope, shard, buffers, workers } = workerData as WorkerTask;
const searcher = new Searcher(new KernelSpace(scope), new StateStore(buffers), shard);
for (const _ of searcher.run(workers));
const result: WorkerResult = { tally: searcher.tally };
parentPort?.postMessage(result);
