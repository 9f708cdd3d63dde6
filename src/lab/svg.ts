/** Plots as SVG, without a library: bars that lie (long names are read easily), and lines. */

import type { BarPlot, LinePlot, Plot } from "./document.ts";
import { number } from "./format.ts";

const WIDTH = 720;
const LEFT = 270;
const RIGHT = 60;
const BAR = 13;
const GAP = 10;
const TOP = 34;
const LINE_HEIGHT = 260;
const LINE_LEFT = 60;
const LEGEND_ROW = 17;
/** Okabe and Ito's colours, which people with any colour vision tell apart. */
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999", "#f0e442"];

export function escapeMarkup(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

export function toSvg(plot: Plot): string {
  return plot.kind === "bars" ? bars(plot) : lines(plot);
}

function frame(title: string, height: number, parts: readonly string[]): string {
  const name = escapeMarkup(title);
  return [
    `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${name}" class="plot">`,
    `<title>${name}</title>`,
    label(0, 16, title, "title"),
    ...parts,
    "</svg>",
  ].join("\n");
}

function label(x: number, y: number, text: string, style: string): string {
  return `<text x="${round(x)}" y="${round(y)}" class="${style}">${escapeMarkup(text)}</text>`;
}

function rectangle(x: number, y: number, width: number, height: number, colour: string, tip: string): string {
  return (
    `<rect x="${round(x)}" y="${round(y)}" width="${round(Math.max(0, width))}" height="${height}" ` +
    `fill="${colour}"><title>${escapeMarkup(tip)}</title></rect>`
  );
}

/** Two decimals: the same text for the same plot, and short. */
function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** Steps of 1, 2 or 5 times a power of ten, about five of them. */
function ticks(low: number, high: number): number[] {
  const span = high - low || 1;
  const power = 10 ** Math.floor(Math.log10(span / 5));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => span / size <= 6) ?? span;
  const found: number[] = [];
  for (let i = Math.ceil(low / step); i * step <= high + step / 1e6; i++) found.push(i * step);
  return found;
}

/** Names with their colours, in as many rows as it takes, from `y` on; and where they end. */
function legend(names: readonly string[], y: number): { readonly parts: string[]; readonly bottom: number } {
  let x = 0;
  let row = y;
  const parts = names.flatMap((name, index) => {
    const width = 26 + name.length * 6.6;
    if (x > 0 && x + width > WIDTH) {
      x = 0;
      row += LEGEND_ROW;
    }
    const at = x;
    x += width;
    return [
      rectangle(at, row - 9, 10, 10, COLOURS[index % COLOURS.length], name),
      label(at + 15, row, name, "small"),
    ];
  });
  return { parts, bottom: row + 10 };
}

function bars({ title, unit, groups, series, stacked }: BarPlot): string {
  const totals = groups.map((_, group) => series.reduce((sum, { values }) => sum + (values[group] ?? 0), 0));
  const all = stacked
    ? totals
    : series.flatMap(({ values, low, high }) => [...values, ...(low ?? []), ...(high ?? [])]);
  const [least, most] = [Math.min(0, ...all), Math.max(0, ...all) || 1];
  const toX = (value: number): number => LEFT + ((value - least) / (most - least)) * (WIDTH - LEFT - RIGHT);
  const groupHeight = (stacked ? BAR : BAR * series.length) + GAP;
  const bottom = TOP + groups.length * groupHeight;
  const parts: string[] = [];
  for (const tick of ticks(least, most)) {
    const x = round(toX(tick));
    parts.push(`<line x1="${x}" y1="${TOP - 4}" x2="${x}" y2="${bottom}" class="grid"/>`);
    parts.push(label(x, bottom + 12, number(tick), "tick"));
  }
  parts.push(label(WIDTH - RIGHT, bottom + 26, unit, "end"));
  for (const [group, name] of groups.entries()) {
    const top = TOP + group * groupHeight;
    parts.push(label(LEFT - 8, top + (groupHeight - GAP) / 2 + 4, name, "end"));
    let base = 0;
    for (const [index, { name: of, values, low, high }] of series.entries()) {
      const value = values[group] ?? 0;
      const tip = `${name}, ${of}: ${number(value)} ${unit}`;
      const colour = COLOURS[index % COLOURS.length];
      const y = top + (stacked ? 0 : index * BAR);
      const [from, to] = stacked ? [base, base + value] : [Math.min(0, value), Math.max(0, value)];
      parts.push(rectangle(toX(from), y, toX(to) - toX(from), BAR - 2, colour, tip));
      if (low?.[group] !== undefined && high?.[group] !== undefined)
        parts.push(whisker(toX(low[group]), toX(high[group]), y + BAR / 2 - 1));
      base += value;
    }
  }
  const names = legend(
    series.map(({ name }) => name),
    bottom + 44,
  );
  return frame(title, names.bottom, [...parts, ...names.parts]);
}

function whisker(from: number, to: number, y: number): string {
  const [a, b, at] = [round(from), round(to), round(y)];
  return `<path d="M${a} ${at - 3}v6M${a} ${at}H${b}M${b} ${at - 3}v6" class="whisker"/>`;
}

function lines({ title, xLabel, yLabel, series }: LinePlot): string {
  const points = series.flatMap((one) => one.points);
  const [left, right] = [Math.min(...points.map(([x]) => x)), Math.max(...points.map(([x]) => x))];
  const [low, high] = [Math.min(0, ...points.map(([, y]) => y)), Math.max(...points.map(([, y]) => y)) || 1];
  const bottom = TOP + LINE_HEIGHT;
  const toX = (x: number): number =>
    LINE_LEFT + ((x - left) / (right - left || 1)) * (WIDTH - LINE_LEFT - RIGHT);
  const toY = (y: number): number => bottom - ((y - low) / (high - low || 1)) * LINE_HEIGHT;
  const parts: string[] = [];
  for (const tick of ticks(low, high)) {
    const y = round(toY(tick));
    parts.push(`<line x1="${LINE_LEFT}" y1="${y}" x2="${WIDTH - RIGHT}" y2="${y}" class="grid"/>`);
    parts.push(label(LINE_LEFT - 6, y + 4, number(tick), "end"));
  }
  for (const tick of ticks(left, right)) parts.push(label(toX(tick), bottom + 14, number(tick), "tick"));
  parts.push(label(LINE_LEFT, TOP - 4, yLabel, "small"), label(WIDTH - RIGHT, bottom + 28, xLabel, "end"));
  for (const [index, one] of series.entries()) {
    const path = one.points
      .map(([x, y], at) => `${at === 0 ? "M" : "L"}${round(toX(x))} ${round(toY(y))}`)
      .join("");
    const colour = COLOURS[index % COLOURS.length];
    parts.push(`<path d="${path}" fill="none" stroke="${colour}" stroke-width="1.8"/>`);
  }
  const names = legend(
    series.map(({ name }) => name),
    bottom + 46,
  );
  return frame(title, names.bottom, [...parts, ...names.parts]);
}
