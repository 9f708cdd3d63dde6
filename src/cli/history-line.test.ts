import { expect, test } from "vitest";
import { historyLine } from "./history-line.ts";

test("the highest is as high as the line, and what is not 0 is seen", () => {
  expect(historyLine([0, 1, 50, 100], 10)).toBe("▁▂▅█");
});

test("the newest that there is room for", () => {
  expect(historyLine([100, 0, 4, 8], 3)).toBe("▁▅█");
  expect(historyLine([], 3)).toBe("");
  expect(historyLine([0, 0], 3)).toBe("▁▁");
});
