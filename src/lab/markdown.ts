import type { Block, TableBlock } from "./document.ts";

/** A document as Markdown. Plots are left out: a file of text has none. */
export function toMarkdown(blocks: readonly Block[]): string {
  return `${blocks
    .map(render)
    .filter((part) => part !== "")
    .join("\n\n")}\n`;
}

function render(block: Block): string {
  switch (block.kind) {
    case "heading":
      return `${"#".repeat(block.level)} ${block.text}`;
    case "text":
      return block.text;
    case "list":
      return block.items.map((item) => `- ${item}`).join("\n");
    case "table":
      return renderTable(block);
    case "plot":
      return "";
  }
}

/** The first column to the left, the others to the right if all their cells are numbers. */
function renderTable({ title, header, rows }: TableBlock): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(escapeCell).join(" | ")} |`;
  const rule = header.map((_, column) => (isNumeric(rows, column) ? "---:" : "---")).join(" | ");
  const lines = [line(header), `| ${rule} |`, ...rows.map(line)];
  return title === "" ? lines.join("\n") : `**${title}**\n\n${lines.join("\n")}`;
}

function escapeCell(cell: string): string {
  return cell.replaceAll("|", "\\|").replaceAll("\n", "<br>");
}

/** Whether every cell of a column begins as a number does. */
export function isNumeric(rows: readonly (readonly string[])[], column: number): boolean {
  return rows.every((row) => /^$|^-$|^[+-]?\d/.test(row[column] ?? ""));
}
