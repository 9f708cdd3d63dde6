import { expect, test } from "vitest";
import { heading, list, plot, table, text } from "./document.ts";
import { isNumeric, toMarkdown } from "./markdown.ts";

test("headings, paragraphs, lists and tables; no plots", () => {
  const bars = { kind: "bars", title: "t", unit: "u", stacked: false, groups: [], series: [] } as const;
  const page = toMarkdown([
    heading(2, "Title"),
    text("Words with `code`."),
    list(["one", "two"]),
    plot(bars),
    table("Numbers", ["name", "n"], [["a|b", "1"]]),
  ]);
  expect(page).toBe(
    "## Title\n\nWords with `code`.\n\n- one\n- two\n\n**Numbers**\n\n| name | n |\n| --- | ---: |\n| a\\|b | 1 |\n",
  );
});

test("a column is of numbers if every cell begins as one, or is empty", () => {
  const rows = [
    ["x", "+0.80 % [1, 2]", "", "-", "1 a"],
    ["y", "-3", "4,096", "", "b"],
  ];
  expect([0, 1, 2, 3, 4].map((column) => isNumeric(rows, column))).toEqual([false, true, true, true, false]);
});
