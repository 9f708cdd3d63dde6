import { describe, expect, test } from "vitest";
import type { BarPlot, LinePlot } from "./document.ts";
import { toSvg } from "./svg.ts";

const BARS: BarPlot = {
  kind: "bars",
  title: "Bars <&>",
  unit: "ns",
  stacked: false,
  groups: ["one", "two"],
  series: [
    { name: "a", values: [1, 2], low: [0.5, 1.5], high: [1.5, 2.5] },
    { name: "b", values: [4, -1] },
  ],
};

const LINES: LinePlot = {
  kind: "lines",
  title: "Lines",
  xLabel: "x",
  yLabel: "y",
  series: [
    {
      name: "a",
      points: [
        [0, 0],
        [10, 100],
      ],
    },
  ],
};

/** Widths of the bars of a plot, by what their tips say. */
function widths(svg: string): Map<string, number> {
  const found = svg.matchAll(/width="([\d.]+)" height="11"[^>]*><title>([^<]*)<\/title>/g);
  return new Map([...found].map(([, width, tip]) => [tip, Number(width)]));
}

describe("bars", () => {
  test("are as long as their values, whatever the sign", () => {
    const bars = widths(toSvg(BARS));
    const unit = (bars.get("one, a: 1 ns") ?? 0) / 1;
    expect(bars.get("two, a: 2 ns")).toBeCloseTo(2 * unit, 1);
    expect(bars.get("one, b: 4 ns")).toBeCloseTo(4 * unit, 1);
    expect(bars.get("two, b: -1 ns")).toBeCloseTo(unit, 1);
  });

  test("have whiskers where there are intervals", () => {
    expect(toSvg(BARS).match(/class="whisker"/g)).toHaveLength(2);
  });

  test("stacked, stand one after the other", () => {
    const svg = toSvg({
      ...BARS,
      stacked: true,
      series: BARS.series.map(({ name }) => ({ name, values: [3, 1] })),
    });
    const [first, second] = [...svg.matchAll(/<rect x="([\d.]+)" y="34" width="([\d.]+)"/g)];
    expect(Number(second[1])).toBeCloseTo(Number(first[1]) + Number(first[2]), 1);
  });

  test("have a name for whoever can't see them, escaped", () => {
    expect(toSvg(BARS)).toContain('role="img" aria-label="Bars &lt;&amp;&gt;"');
  });
});

test("a line goes from corner to corner", () => {
  expect(toSvg(LINES)).toMatch(/d="M60 294L660 34"/);
});

test("plots of nothing, and of zeros, are drawn", () => {
  const nothing = toSvg({ ...BARS, groups: [], series: [] });
  const zeros = toSvg({ ...LINES, series: [{ name: "z", points: [[0, 0]] }] });
  for (const svg of [nothing, zeros]) expect(svg).not.toMatch(/NaN|Infinity|undefined/);
});

test("a long legend takes several rows, none of them beyond the edge", () => {
  const names = Array.from({ length: 9 }, (_, i) => `a rather long name of a series, number ${i}`);
  const svg = toSvg({ ...BARS, series: names.map((name) => ({ name, values: [1, 1] })) });
  const places = [...svg.matchAll(/<text x="([\d.]+)" y="[\d.]+" class="small">/g)].map(([, x]) => Number(x));
  expect(places).toHaveLength(9);
  expect(Math.max(...places)).toBeLessThan(720 - 200);
});
