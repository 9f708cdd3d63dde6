// The explorer on the model, its search on a hand-written abstraction, and SPIN on the same: one set of
// states.
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { abstractionsOf, ShmemSpace } from "../bench/support/shmem-space.ts";
import { lackingForSpin, Pan } from "../bench/support/spin.ts";
import { DEFAULT_SCOPE, type ExploreScope, KernelSpace } from "../src/lab/explore/index.ts";
import { addFirst, Searcher } from "../src/lab/explore/search.ts";
import type { StateSpace } from "../src/lab/explore/space.ts";
import { StateStore } from "../src/lab/explore/store.ts";
import { lacking } from "./support/requirement.ts";

function search(space: StateSpace): StateStore {
  const store = StateStore.create(space.stride, 50_000);
  addFirst(space, store);
  for (const _ of new Searcher(space, store).run(1));
  return store;
}

/** Words of the abstraction that its own space finds. */
function abstractStates(pages: number): Set<string> {
  const store = search(new ShmemSpace(pages));
  const found = new Set<string>();
  for (let state = 0; state < store.count; state++) {
    const bytes = [...store.vectors.subarray(state * store.stride, state * store.stride + pages * 3)];
    found.add(
      bytes
        .slice(0, pages)
        .map((kept, i) => [kept, bytes[pages + i], bytes[pages * 2 + i]])
        .join(";"),
    );
  }
  return found;
}

describe.each([1, 2])("an object of %d pages, two processes", (pages) => {
  test("the model's states are those of the abstraction", () => {
    const scope: ExploreScope = {
      ...DEFAULT_SCOPE,
      pages,
      swapPages: pages,
      sharers: 2,
      depth: 64,
      config: { fault_around_bytes: 4096 },
      ops: ["read", "write", "pageout", "dontneed", "punch", "readfd", "writefd", "reclaim"],
    };
    const space = new KernelSpace(scope);
    const store = search(space);
    expect(store.isFull).toBe(false);
    const found = new Set<string>();
    for (let state = 0; state < store.count; state++) {
      space.load(store.vectors, state * store.stride);
      for (const abstraction of abstractionsOf(space)) found.add(abstraction);
    }
    expect([...found].sort()).toEqual([...abstractStates(pages)].sort());
  });

  test("and as many as SPIN finds", (context) => {
    const reason = lackingForSpin();
    if (reason !== undefined) return lacking(context, reason);
    using pan = new Pan(fileURLToPath(new URL("../bench/spin/shmem.pml", import.meta.url)), pages);
    expect(pan.run().states).toBe(abstractStates(pages).size);
  });
});
