import pc from "picocolors";
import { getBorderCharacters, table } from "table";
import type { Block } from "../lab/document.ts";
import { isNumeric } from "../lab/markdown.ts";

/** Cells are wrapped at so many characters. */
const CELL_WIDTH_MAX = 46;

/** A document for a terminal. Plots are left out: `--html` has them. */
export function toText(blocks: readonly Block[]): string {
  return blocks
    .map(render)
    .filter((part) => part !== "")
    .join("\n");
}

function render(block: Block): string {
  switch (block.kind) {
    case "heading":
      return pc.bold(block.level === 1 ? pc.underline(block.text) : block.text);
    case "text":
      return `${block.text.replaceAll("`", "")}\n`;
    case "list":
      return `${block.items.map((item) => `- ${item.replaceAll("`", "")}`).join("\n")}\n`;
    case "plot":
      return "";
    case "table":
      return renderTable(block.title, block.header, block.rows);
  }
}

function renderTable(title: string, header: readonly string[], rows: readonly (readonly string[])[]): string {
  const plain = (cells: readonly string[]): string[] => cells.map((cell) => cell.replaceAll("`", ""));
  const widest = (column: number): number =>
    Math.max(
      ...[header, ...rows].flatMap((row) => (row[column] ?? "").split("\n").map((line) => line.length)),
    );
  const text = table([plain(header), ...rows.map(plain)], {
    border: getBorderCharacters("void"),
    columnDefault: { paddingLeft: 0, paddingRight: 2, wrapWord: true },
    columns: header.map((_, column) => ({
      width: Math.max(1, Math.min(CELL_WIDTH_MAX, widest(column))),
      alignment: column > 0 && isNumeric(rows, column) ? "right" : "left",
    })),
    drawHorizontalLine: () => false,
  }).replace(/ +$/gm, "");
  return title === "" ? text : `${pc.bold(title)}\n${text}`;
}
