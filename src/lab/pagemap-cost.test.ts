import { describe, expect, test } from "vitest";
import { measureModelPagemap, type PagemapCost, RANGE_STATES } from "./pagemap-cost.ts";

const PAGES = 2048;
const costs = await measureModelPagemap({ sizePages: PAGES, rounds: 2, seed: 1 });
const cost = (state: string, config: string): PagemapCost => {
  const found = costs.find((one) => one.state === state && one.config === config);
  if (found === undefined) throw new Error(`no cost of ${config} for ${state}`);
  return found;
};

describe("the marker", () => {
  test("looks nothing up", () => {
    for (const { name } of RANGE_STATES) expect(cost(name, "marker").lookupsPerEntry).toBe(0);
  });

  test("is right, but for a mapping that never had the pages", () => {
    for (const { name, throughNewMapping } of RANGE_STATES)
      expect(cost(name, "marker")).toMatchObject({
        falsePositives: 0,
        falseNegatives: throughNewMapping ? PAGES : 0,
      });
  });
});

describe("the look-up", () => {
  test("is one an empty PTE, and none where there is no page table", () => {
    const lookups = RANGE_STATES.map(({ name }) => cost(name, "look-up").lookupsPerEntry);
    expect(lookups).toEqual([0, 0, 1, 1 / 2, 1 / 64, 0]);
  });

  test("is right, but for where there is no page table", () => {
    for (const { name, throughNewMapping } of RANGE_STATES)
      expect(cost(name, "look-up")).toMatchObject({
        falsePositives: 0,
        falseNegatives: throughNewMapping ? PAGES : 0,
      });
  });
});

test("without either, no swapped page is seen", () => {
  const missed = RANGE_STATES.map(({ name }) => cost(name, "none").falseNegatives);
  expect(missed).toEqual([0, 0, PAGES, PAGES / 2, PAGES / 64, PAGES]);
  expect(costs.filter(({ config }) => config === "none").every(({ change }) => change === undefined)).toBe(
    true,
  );
});
