/** A line of blocks that shows how a number went: the newest at the right, the highest as high as a line. */

const BLOCKS = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/** One column a value, the last `columns` of them; 0 is the lowest block, any other value is above it. */
export function historyLine(values: readonly number[], columns: number): string {
  const last = values.slice(Math.max(0, values.length - columns));
  const highest = Math.max(...last, 1);
  return last.map((value) => BLOCKS[Math.ceil((value / highest) * (BLOCKS.length - 1))]).join("");
}
