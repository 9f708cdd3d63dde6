import { describe, expect, test } from "vitest";
import { loadSearch, saveSearch } from "./checkpoint.ts";
import { explore, tellExploration } from "./explore.ts";
import { ParallelSearch } from "./parallel.ts";
import { DEFAULT_SCOPE, type ExploreScope } from "./scope.ts";
import { addTally, Searcher, type Shard } from "./search.ts";

const SCOPE: ExploreScope = { ...DEFAULT_SCOPE, depth: 5 };
const SHARD: Shard = { number: 1, count: 1 };
const OPTIONS = { file: "kept", version: "1.2.3", capacityFor: () => 10_000 };

/** Goes on with a search for so many chunks of states, on this thread. */
function goOn(search: ParallelSearch, chunks: number): void {
  const searcher = new Searcher(search.space, search.store, search.shard);
  const steps = searcher.run(1);
  for (let chunk = 0; chunk < chunks && steps.next().done !== true; chunk++);
  addTally(search.store, search.tally, searcher.tally);
}

function bytesOf(search: ParallelSearch): Uint8Array {
  const parts = saveSearch(search, "1.2.3");
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** A search of which so many chunks are done. */
function partOf(chunks: number): Uint8Array {
  const search = ParallelSearch.begin(SCOPE, SHARD, 10_000);
  goOn(search, chunks);
  return bytesOf(search);
}

describe("a search that was kept", () => {
  test.each([0, 1, 2, 7, 20, 1000])("after %d chunks of states goes on to the same end", (chunks) => {
    const search = loadSearch(partOf(chunks), OPTIONS);
    goOn(search, Number.POSITIVE_INFINITY);
    expect(tellExploration(search.space, search.store, search)).toEqual(explore(SCOPE));
  });

  test("can be kept again and again", () => {
    let bytes = partOf(3);
    for (let i = 0; i < 4; i++) {
      const search = loadSearch(bytes, OPTIONS);
      goOn(search, 3);
      bytes = bytesOf(search);
    }
    const search = loadSearch(bytes, OPTIONS);
    goOn(search, Number.POSITIVE_INFINITY);
    expect(tellExploration(search.space, search.store, search)).toEqual(explore(SCOPE));
  });
});

describe("what is refused:", () => {
  const kept = partOf(5);
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);

  test.each([
    ["no checkpoint", text("hello\n"), "kept: not a checkpoint"],
    ["nothing", text(""), "kept: not a checkpoint"],
    ["null", text("null\n"), "kept: not a checkpoint"],
    ["one cut short", kept.subarray(0, kept.length - 1), "kept: cut short"],
  ])("%s", (_, bytes, message) => {
    expect(() => loadSearch(bytes, OPTIONS)).toThrow(message);
  });

  test("one of another version", () => {
    expect(() => loadSearch(kept, { ...OPTIONS, version: "1.2.4" })).toThrow(
      "kept: a checkpoint of ptemark 1.2.3 (format 1), and this is 1.2.4 (format 1): go on with that version",
    );
  });
});
