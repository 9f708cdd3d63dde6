import { type Block, heading, plot, table, text } from "./document.ts";
import { changeWithInterval, number, whole } from "./format.ts";
import type { LivePagemapCost } from "./live/index.ts";
import type { PagemapCost } from "./pagemap-cost.ts";
import { costOf } from "./reference-costs.ts";

/** What `ptemark bench pagemap` measured. The live part is missing where it can't be measured, and why. */
export interface PagemapBench {
  readonly sizePages: number;
  readonly rounds: number;
  readonly model: readonly PagemapCost[];
  readonly live: readonly LivePagemapCost[] | undefined;
  readonly liveObstacle: string;
}

export function describePagemap({ model, live, liveObstacle, sizePages, rounds }: PagemapBench): Block[] {
  return [
    heading(2, "Reading pagemap: no markers, markers, look-up"),
    text(
      "The rival series looks every empty PTE of shared memory up in the page cache while pagemap is " +
        "read. It is exact " +
        "where there is a page table, and pays a look-up an empty PTE. A marker is in the PTE that is read anyway.",
    ),
    table(
      `Model: ${whole(sizePages)} pages, ${rounds} rounds`,
      [
        "range",
        "mechanism",
        "ns an entry",
        "change [95 % interval]",
        "look-ups an entry",
        "wrongly set",
        "wrongly not set",
      ],
      model.map((cost) => [
        cost.state,
        cost.config,
        number(cost.nsPerEntry),
        cost.change === undefined ? "" : changeWithInterval(cost.change),
        number(cost.lookupsPerEntry),
        whole(cost.falsePositives),
        whole(cost.falseNegatives),
      ]),
    ),
    realKernelTable(),
    plotBy(
      "Model: nanoseconds an entry",
      "ns",
      model.map(({ state, config, nsPerEntry }) => [state, config, nsPerEntry]),
    ),
    ...(live === undefined ? [text(`Not measured live: ${liveObstacle}`)] : describeLive(live, sizePages)),
  ];
}

/** Bars by group (a state) and series (who answers). */
function plotBy(title: string, unit: string, cells: readonly (readonly [string, string, number])[]): Block {
  const groups = [...new Set(cells.map(([group]) => group))];
  const names = [...new Set(cells.map(([, name]) => name))];
  const cellOf = (group: string, name: string): number =>
    cells.find(([g, n]) => g === group && n === name)?.[2] ?? 0;
  return plot({
    kind: "bars",
    title,
    unit,
    stacked: false,
    groups,
    series: names.map((name) => ({ name, values: groups.map((group) => cellOf(group, name)) })),
  });
}

function realKernelTable(): Block {
  const states = [
    "never touched",
    "present",
    "swapped out",
    "every 2nd page swapped out",
    "swapped out, seen by a new mapping",
  ];
  return table(
    "A real 6.1 kernel without and with the RFC: instructions an entry, one read of the whole range",
    ["range", "without", "with", "more"],
    states.map((state) => {
      const { stock, rfc, beyondNoise } = costOf(`pagemap, one read of the whole range, ${state}`);
      return [state, number(stock), number(rfc), beyondNoise ? number(rfc - stock) : "0"];
    }),
  );
}

function describeLive(live: readonly LivePagemapCost[], sizePages: number): Block[] {
  return [
    table(
      `This kernel: ${whole(sizePages)} pages, who is asked which of them are in swap`,
      ["range", "asked", "ns a page", "against bare pagemap", "wrongly set", "wrongly not set"],
      live.map((cost) => [
        cost.state,
        cost.method,
        number(cost.nsPerPage),
        cost.change === undefined ? "" : `${number(cost.change.ratio)} times`,
        whole(cost.falsePositives),
        whole(cost.falseNegatives),
      ]),
    ),
    plotBy(
      "This kernel: nanoseconds a page",
      "ns",
      live.map(({ state, method, nsPerPage }) => [state, method, nsPerPage]),
    ),
  ];
}
