import { expect, test } from "vitest";
import { measureModelSwapIn, SWAP_IN_CONFIGS, swapInRows } from "./swap-in.ts";

const OPTIONS = { sizePages: 512, rounds: 2, seed: 7, swap: "memory" } as const;

test("every configuration is timed in every round, and compared with the first", async () => {
  const { rows } = await measureModelSwapIn(OPTIONS);
  expect(rows.map(({ name }) => name)).toEqual(SWAP_IN_CONFIGS.map(({ name }) => name));
  for (const row of rows) expect(row.microseconds).toHaveLength(2);
  expect(rows.map(({ change }) => change === undefined)).toEqual([true, false, false]);
});

test("markers change nothing of the work that a swap-in does", async () => {
  const { workAPage } = await measureModelSwapIn(OPTIONS);
  expect(workAPage[0]).toMatchObject({ swapReads: 1, pteWrites: 1, pageoutMarkers: 0 });
  expect(workAPage[2]).toEqual(workAPage[0]);
});

test.each(["memory", "file"] as const)("with swap in %s, the result is the same for a seed", async (swap) => {
  const once = await measureModelSwapIn({ ...OPTIONS, swap });
  const again = await measureModelSwapIn({ ...OPTIONS, swap });
  expect(again.resultHash).toBe(once.resultHash);
  expect(again.workAPage).toEqual(once.workAPage);
});

test("rows are means of the whole range, and changes are of means", () => {
  const series = [
    { name: "a", nsPerUnit: [10, 30], hash: undefined },
    { name: "b", nsPerUnit: [40, 40], hash: undefined },
  ];
  const [a, b] = swapInRows(series, 1000, 1);
  expect(a.microseconds).toEqual([10, 30]);
  expect(a.mean).toBe(20);
  expect(b.change?.ratio).toBe(2);
});
