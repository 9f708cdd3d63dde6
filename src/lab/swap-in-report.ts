import { type Block, heading, plot, type TableBlock, table, text } from "./document.ts";
import type { FaultAroundRow } from "./fault-around-cost.ts";
import { changeWithInterval, number, percent, size, whole } from "./format.ts";
import type { LiveFaultAroundRow, LiveSwapIn } from "./live/index.ts";
import { costOf } from "./reference-costs.ts";
import type { ModelSwapIn, SwapInRow } from "./swap-in.ts";

/** What `ptemark bench swapin` measured. The live parts are missing where they can't be measured, and why. */
export interface SwapInBench {
  readonly model: ModelSwapIn;
  readonly faultAround: readonly FaultAroundRow[];
  readonly live: LiveSwapIn | undefined;
  readonly liveFaultAround: readonly LiveFaultAroundRow[] | undefined;
  readonly liveObstacle: string;
}

/** The RFC's own table, microseconds (its cover letter; Xeon E5-2630 v4, swap on a RAID disk). */
export const RFC_SWAP_IN = [
  { name: "no PTE_MARKER", microseconds: 519_652 },
  { name: "PTE_MARKER", microseconds: 519_874 },
  { name: "PTE_MARKER and PTE_MARKER_PAGEOUT", microseconds: 523_914 },
] as const;

const PAGE_BYTES = 4096;

export function describeSwapIn(bench: SwapInBench): Block[] {
  return [
    heading(2, "Sequential swap-in"),
    rfcTable(),
    ...describeSwapInTimes(bench),
    changesPlot(bench),
    heading(2, "The fault-around that markers take away"),
    ...describeFaultAround(bench),
  ];
}

/** The model's times and work, and this kernel's times. */
export function describeSwapInTimes(bench: SwapInBench): Block[] {
  const { model, live } = bench;
  return [
    timesTable(
      `Model, swap in ${model.swap === "file" ? "a file" : "memory"}: ${rangeOf(model)}, time to fault it in`,
      model.rows,
    ),
    workTable(model),
    ...(live === undefined ? [text(`Not measured live: ${bench.liveObstacle}`)] : describeLive(live)),
  ];
}

function rangeOf({ sizePages, rounds }: { readonly sizePages: number; readonly rounds: number }): string {
  return `${size(sizePages * PAGE_BYTES)}, ${rounds} rounds`;
}

function rfcTable(): TableBlock {
  const [base] = RFC_SWAP_IN;
  return table(
    "What the RFC said: 1 GiB, 5 rounds",
    ["configuration", "mean, us", "change"],
    RFC_SWAP_IN.map(({ name, microseconds }, index) => [
      name,
      whole(microseconds),
      index === 0 ? "" : percent(microseconds / base.microseconds - 1),
    ]),
  );
}

function timesTable(title: string, rows: readonly SwapInRow[]): TableBlock {
  return table(
    title,
    ["configuration", "mean, us", "deviation, us", "change [95 % interval]"],
    rows.map(({ name, mean, deviation, change }) => [
      name,
      whole(mean),
      whole(deviation),
      change === undefined ? "" : changeWithInterval(change),
    ]),
  );
}

/** The counters that count anything; a change that no clock can blur. */
function workTable({ rows, workAPage }: ModelSwapIn): TableBlock {
  const counters = Object.keys(workAPage[0]).filter((name) => workAPage.some((work) => work[name] > 0));
  return table(
    "Model: work a page of that swap-in, by the counters",
    ["configuration", ...counters],
    rows.map(({ name }, index) => [name, ...counters.map((counter) => number(workAPage[index][counter]))]),
  );
}

function describeLive(live: LiveSwapIn): Block[] {
  return [
    timesTable(`This kernel, swap on ${live.device}: ${rangeOf(live)}, time to fault it in`, live.rows),
    table(
      "This kernel: what a round did",
      ["configuration", "major faults", "markers before"],
      live.rows.map(({ name }, index) => [name, whole(live.majorFaults[index]), whole(live.markers[index])]),
    ),
    text(
      "A mapping that is registered with userfaultfd has no fault-around, which in a swap-in by reads is " +
        "work in vain: " +
        "that is why registering alone makes it faster. What markers cost is armed against registered: " +
        `${changeWithInterval(live.armedAgainstRegistered)}.`,
    ),
  ];
}

function changesPlot({ model, live }: SwapInBench): Block {
  const [base] = RFC_SWAP_IN;
  const rfc = RFC_SWAP_IN.slice(1).map(({ name, microseconds }) => ({
    name: `RFC: ${name}`,
    value: microseconds / base.microseconds - 1,
  }));
  const measured = [
    ...model.rows.map((row) => ({ side: "model", ...row })),
    ...(live?.rows ?? []).map((row) => ({ side: "live", ...row })),
  ].flatMap(({ side, name, change }) =>
    change === undefined
      ? []
      : [{ name: `${side}: ${name}`, value: change.ratio - 1, low: change.low - 1, high: change.high - 1 }],
  );
  const all = [...rfc.map((one) => ({ ...one, low: one.value, high: one.value })), ...measured];
  return plot({
    kind: "bars",
    title: "Change of the time to fault a range in, against no markers",
    unit: "%",
    stacked: false,
    groups: all.map(({ name }) => name),
    series: [
      {
        name: "change, with its 95 % interval",
        values: all.map(({ value }) => value * 100),
        low: all.map(({ low }) => low * 100),
        high: all.map(({ high }) => high * 100),
      },
    ],
  });
}

function strideText(stride: number): string {
  return stride === 1 ? "every page" : `one page in ${stride}`;
}

function describeFaultAround({ faultAround, liveFaultAround, liveObstacle }: SwapInBench): Block[] {
  return [
    text(
      "Fault-around maps what the page cache has near a fault, into empty PTEs only. Pages that this process paged " +
        "out, and that somebody else brought back, lie under markers here: each takes a fault of its " +
        "own. Whoever reads " +
        "only one page in 16 gains, since nothing is mapped in vain; the markers of the rest stay, and are stale.",
    ),
    table(
      "Model: pages that are back in the page cache, read by the process that paged them out",
      [
        "configuration",
        "reads",
        "minor faults",
        "look-ups",
        "pages mapped",
        "PM_SWAP wrong before",
        "and after",
      ],
      faultAround.map((row) => [
        row.name,
        strideText(row.stride),
        whole(row.minorFaults),
        whole(row.lookups),
        whole(row.pagesMapped),
        whole(row.staleBefore),
        whole(row.staleAfter),
      ]),
    ),
    realKernelTable(),
    liveFaultAround === undefined
      ? text(`Not measured live: ${liveObstacle}`)
      : table(
          "This kernel: the same, with the stand-in for markers",
          ["configuration", "reads", "minor faults", "us", "PM_SWAP wrong before", "and after"],
          liveFaultAround.map((row) => [
            row.name,
            strideText(row.stride),
            whole(row.minorFaults),
            whole(row.microseconds),
            whole(row.staleBefore),
            whole(row.staleAfter),
          ]),
        ),
    plot({
      kind: "bars",
      title: "Minor faults to read 16,384 pages that are back in the page cache",
      unit: "faults",
      stacked: false,
      groups: faultAround.filter(({ stride }) => stride === 1).map(({ name }) => name),
      series: [1, 16].map((stride) => ({
        name: strideText(stride),
        values: faultAround.filter((row) => row.stride === stride).map(({ minorFaults }) => minorFaults),
      })),
    }),
  ];
}

/** The same experiment on a real kernel with the RFC. */
function realKernelTable(): TableBlock {
  const cases = [
    ["every page", "sequential read, back in the page cache by another process"],
    [
      "every page, fault-around off",
      "sequential read, back in the page cache by another process, fault-around off",
    ],
    ["one page in 16", "sparse read, 1 page in 16, back in the page cache by another process"],
  ] as const;
  return table(
    "A real 6.1 kernel without and with the RFC: instructions a page read, and faults",
    ["reads", "without", "with", "change", "faults without", "faults with"],
    cases.map(([name, id]) => {
      const cost = costOf(id);
      return [
        name,
        number(cost.stock),
        number(cost.rfc),
        percent(cost.rfc / cost.stock - 1),
        whole(cost.stockFaults ?? 0),
        whole(cost.rfcFaults ?? 0),
      ];
    }),
  );
}
