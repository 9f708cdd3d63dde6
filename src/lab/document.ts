/** What an experiment has to say: blocks of text, tables and plots, which several renderers turn into a page. */

/** A paragraph or a cell is plain text, in which `backticks` mark what one would type. */
export type Block =
  | { readonly kind: "heading"; readonly level: 1 | 2 | 3; readonly text: string }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "list"; readonly items: readonly string[] }
  | TableBlock
  | { readonly kind: "plot"; readonly plot: Plot };

export interface TableBlock {
  readonly kind: "table";
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Bars in groups, each series of its own colour: side by side, or one after the other (of a whole). */
export interface BarPlot {
  readonly kind: "bars";
  readonly title: string;
  readonly unit: string;
  readonly stacked: boolean;
  readonly groups: readonly string[];
  /** A value a group; `low` and `high` are the ends of its interval. */
  readonly series: readonly {
    readonly name: string;
    readonly values: readonly number[];
    readonly low?: readonly number[];
    readonly high?: readonly number[];
  }[];
}

export interface LinePlot {
  readonly kind: "lines";
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly {
    readonly name: string;
    readonly points: readonly (readonly [number, number])[];
  }[];
}

export type Plot = BarPlot | LinePlot;

export const heading = (level: 1 | 2 | 3, text: string): Block => ({ kind: "heading", level, text });
export const text = (paragraph: string): Block => ({ kind: "text", text: paragraph });
export const list = (items: readonly string[]): Block => ({ kind: "list", items });
export const plot = (of: Plot): Block => ({ kind: "plot", plot: of });

export function table(
  title: string,
  header: readonly string[],
  rows: readonly (readonly string[])[],
): TableBlock {
  return { kind: "table", title, header, rows };
}
