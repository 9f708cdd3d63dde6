import { expect, test } from "vitest";
import { type Block, heading, list, plot, table, text } from "./document.ts";
import { toHtml } from "./html.ts";

const BLOCKS: readonly Block[] = [
  heading(1, "A < B"),
  text("one\ntwo, and `code & more`"),
  list(['say "x"']),
  table("Table", ["name", "n"], [["<b>", "12"]]),
  plot({
    kind: "lines",
    title: "Line",
    xLabel: "x",
    yLabel: "y",
    series: [
      {
        name: "s",
        points: [
          [0, 1],
          [5, 2],
        ],
      },
    ],
  }),
];

test("escapes what it is given, and marks code and breaks", () => {
  const page = toHtml("T & t", BLOCKS);
  expect(page).toContain("<title>T &amp; t</title>");
  expect(page).toContain("<h1>A &lt; B</h1>");
  expect(page).toContain("one<br>two, and <code>code &amp; more</code>");
  expect(page).toContain('<td>&lt;b&gt;</td><td class="number">12</td>');
  expect(page).not.toContain("<b>");
});

test("needs nothing from elsewhere: no script, no link, no image", () => {
  const page = toHtml("T", BLOCKS);
  expect(page).not.toMatch(/<script|<link|<img|https?:|url\(|@import/);
});

test("closes every element that it opens", () => {
  const open: string[] = [];
  for (const [, slash, name, selfClosed] of toHtml("T", BLOCKS).matchAll(/<(\/?)([a-z0-9]+)[^>]*?(\/?)>/g)) {
    if (["meta", "br"].includes(name) || selfClosed === "/") continue;
    if (slash === "") open.push(name);
    else expect(open.pop()).toBe(name);
  }
  expect(open).toEqual([]);
});
