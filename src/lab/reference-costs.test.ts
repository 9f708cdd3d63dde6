import { expect, test } from "vitest";
import { costOf, REFERENCE_COSTS } from "./reference-costs.ts";

test("each cost has an id of its own", () => {
  expect(new Set(REFERENCE_COSTS.map(({ id }) => id)).size).toBe(REFERENCE_COSTS.length);
  expect(REFERENCE_COSTS).toHaveLength(62);
});

test("a cost is found by its id", () => {
  expect(costOf("sequential read, back in the page cache by another process")).toMatchObject({
    stock: 432.73,
    rfc: 3920.59,
    stockFaults: 1024,
    rfcFaults: 16384,
  });
  expect(() => costOf("nothing")).toThrow(new RangeError('no reference cost "nothing"'));
});
