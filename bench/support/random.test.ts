import { expect, test } from "vitest";
import { seededPermutation } from "./random.ts";

test("a permutation has every number once", () => {
  expect([...seededPermutation(1000, 9)].sort((a, b) => a - b)).toEqual([...Array(1000).keys()]);
});
