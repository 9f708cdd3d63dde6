import { expect, test } from "vitest";
import { changes } from "./screen.ts";

/** A terminal that knows what is used here. */
function shownAfter(text: string, rows: string[]): string[] {
  const shown = text.startsWith("\x1b[2J") ? rows.map(() => "") : [...rows];
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what a terminal takes
  for (const [, row, line] of text.matchAll(/\x1b\[(\d+);1H\x1b\[K([^\x1b]*)\x1b\[0m/g))
    shown[Number(row) - 1] = line;
  return shown;
}

test("lines that are not as they were are written, and no others", () => {
  const text = changes(["a", "b", "c"], ["a", "B", "c"]);
  expect(text).toContain("B");
  expect(text).not.toMatch(/[ac]/);
  expect(shownAfter(text, ["a", "b", "c"])).toEqual(["a", "B", "c"]);
});

test("fewer lines: the others are emptied", () => {
  expect(shownAfter(changes(["a", "b", "c"], ["a"]), ["a", "b", "c"])).toEqual(["a", "", ""]);
});

test("nothing is known of the screen: it is cleared first", () => {
  expect(shownAfter(changes([], ["a", "", "c"]), ["x", "y", "z"])).toEqual(["a", "", "c"]);
});
