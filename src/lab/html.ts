import type { Block, TableBlock } from "./document.ts";
import { isNumeric } from "./markdown.ts";
import { escapeMarkup, toSvg } from "./svg.ts";

const STYLE = `
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; margin: 2rem 0 .6rem; }
code { font: 0.92em ui-monospace, monospace; background: color-mix(in srgb, currentColor 9%, transparent);
  padding: 0 .25em; border-radius: 3px; }
figure { margin: 1.2rem 0; overflow-x: auto; }
figcaption { font-weight: 600; margin-bottom: .3rem; }
table { border-collapse: collapse; font-size: .92em; }
th, td { text-align: left; vertical-align: top; padding: .25rem .7rem;
  border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.plot { max-width: 46rem; width: 100%; font: 11px system-ui, sans-serif; }
.plot text { fill: currentColor; }
.plot .title { font-size: 13px; font-weight: 600; }
.plot .tick { text-anchor: middle; opacity: .75; }
.plot .end { text-anchor: end; }
.plot .grid { stroke: currentColor; opacity: .18; }
.plot .whisker { stroke: currentColor; fill: none; }
`;

/** A document as one HTML file that needs nothing else: styles and plots are in it, and no script is. */
export function toHtml(title: string, blocks: readonly Block[]): string {
  return [
    "<!doctype html>",
    '<html lang="en">',
    '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
    `<title>${escapeMarkup(title)}</title>`,
    `<style>${STYLE}</style></head>`,
    "<body>",
    ...blocks.map(render),
    "</body>",
    "</html>",
    "",
  ].join("\n");
}

function render(block: Block): string {
  switch (block.kind) {
    case "heading":
      return `<h${block.level}>${inline(block.text)}</h${block.level}>`;
    case "text":
      return `<p>${inline(block.text)}</p>`;
    case "list":
      return `<ul>\n${block.items.map((item) => `<li>${inline(item)}</li>`).join("\n")}\n</ul>`;
    case "table":
      return renderTable(block);
    case "plot":
      return `<figure>${toSvg(block.plot)}</figure>`;
  }
}

function renderTable({ title, header, rows }: TableBlock): string {
  const numeric = header.map((_, column) => column > 0 && isNumeric(rows, column));
  const line = (tag: "th" | "td", cells: readonly string[]): string =>
    `<tr>${cells
      .map((cell, column) => `<${tag}${numeric[column] ? ' class="number"' : ""}>${inline(cell)}</${tag}>`)
      .join("")}</tr>`;
  return [
    "<figure>",
    ...(title === "" ? [] : [`<figcaption>${inline(title)}</figcaption>`]),
    `<table><thead>${line("th", header)}</thead>`,
    `<tbody>\n${rows.map((row) => line("td", row)).join("\n")}\n</tbody></table>`,
    "</figure>",
  ].join("\n");
}

/** Markup is escaped; what stands in backticks is code, and a new line is a break. */
function inline(text: string): string {
  return escapeMarkup(text)
    .replace(/`([^`]+)`/g, "<code>$1</code>")
    .replaceAll("\n", "<br>");
}
