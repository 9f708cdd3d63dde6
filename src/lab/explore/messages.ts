/** What passes between a search's workers and who started them. */

import type { ExploreScope } from "./scope.ts";
import type { SearchTally, Shard } from "./search.ts";
import type { StoreBuffers } from "./store.ts";

export interface WorkerTask {
  readonly scope: ExploreScope;
  readonly shard: Shard;
  readonly buffers: StoreBuffers;
  readonly workers: number;
}

export interface WorkerResult {
  readonly tally: SearchTally;
}
