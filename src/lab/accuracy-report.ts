import { type Accuracy, shareRight } from "./accuracy.ts";
import { type AccuracyCell, type AccuracySuite, MARKER } from "./accuracy-suite.ts";
import { type Block, heading, list, plot, table, text } from "./document.ts";
import { FALSE_NEGATIVE_CAUSES, FALSE_POSITIVE_CAUSES } from "./error-cause.ts";
import { percent, whole } from "./format.ts";
import { WORKLOADS } from "./workloads.ts";

const CAUSES: Readonly<Record<string, string>> = { ...FALSE_NEGATIVE_CAUSES, ...FALSE_POSITIVE_CAUSES };
/** Points that a line of a plot has at most. */
const POINTS_MAX = 200;

export function describeAccuracy({
  options,
  rearmEvery,
  cells,
  sweeps,
  liveObstacle,
}: AccuracySuite): Block[] {
  const workloads = [...new Set(cells.map(({ workload }) => workload))];
  const mechanisms = [...new Set(cells.map(({ mechanism }) => mechanism))];
  const cellOf = (workload: string, mechanism: string): Accuracy | undefined =>
    cells.find((cell) => cell.workload === workload && cell.mechanism === mechanism)?.accuracy;
  const tableOf = (title: string, value: (accuracy: Accuracy) => string): Block =>
    table(
      title,
      ["workload", ...mechanisms],
      workloads.map((workload) => [
        workload,
        ...mechanisms.map((mechanism) => {
          const accuracy = cellOf(workload, mechanism);
          return accuracy === undefined ? "" : value(accuracy);
        }),
      ]),
    );
  const ofMarker = cells.filter(({ mechanism }) => mechanism === MARKER.name);
  return [
    heading(2, "How often PM_SWAP is right"),
    text(
      `After every step, the bit of every page of every shared mapping is held against the object. Seed ` +
        `${options.seed}, ` +
        `${whole(options.pages)} pages, ${whole(options.steps)} steps, up to ${options.processes} processes, ` +
        `${percent(options.zapRate)} zaps and ${percent(options.pageOutRate)} page-outs a step; the ` +
        `stand-in is armed ` +
        `again after every ${rearmEvery === 1 ? "step" : `${rearmEvery} steps`}.`,
    ),
    list(
      WORKLOADS.filter(({ name }) => workloads.includes(name)).map(
        ({ name, summary }) => `${name}: ${summary}`,
      ),
    ),
    tableOf("Right: share of pages and steps", (accuracy) => percent(shareRight(accuracy), 3)),
    tableOf("False negatives: of the pages in swap, the share whose bit is not set", (accuracy) =>
      ratio(accuracy.falseNegatives, accuracy.swapped),
    ),
    tableOf("False positives: of the pages with the bit set, the share that is not in swap", (accuracy) =>
      ratio(accuracy.falsePositives, accuracy.flagged),
    ),
    ...(liveObstacle === "" ? [] : [text(`Not measured live: ${liveObstacle}`)]),
    table(
      "Why",
      ["workload", "mechanism", "cause", "errors", "page-steps", "what happened"],
      cells
        .filter(({ mechanism }) => mechanism !== "none")
        .flatMap(({ workload, mechanism, accuracy }) =>
          accuracy.causes.map(({ cause, errors, pageSteps }) => [
            workload,
            mechanism,
            cause,
            whole(errors),
            whole(pageSteps),
            CAUSES[cause],
          ]),
        ),
    ),
    causesPlot(ofMarker),
    stepsPlot(ofMarker),
    ...sweeps.flatMap((sweep) => {
      const name = sweep.option === "zapRate" ? "zaps a step" : "processes";
      return [
        table(
          `The marker, workload ${sweep.workload}: right, by ${name}`,
          [name, "right"],
          sweep.points.map(({ value, share }) => [String(value), percent(share, 3)]),
        ),
        plot({
          kind: "lines",
          title: `The marker, workload ${sweep.workload}: right, by ${name}`,
          xLabel: name,
          yLabel: "right, %",
          series: [
            {
              name: "marker",
              points: sweep.points.map(({ value, share }): [number, number] => [value, share * 100]),
            },
          ],
        }),
      ];
    }),
  ];
}

function ratio(part: number, all: number): string {
  return all === 0 ? "-" : percent(part / all);
}

function causesPlot(cells: readonly AccuracyCell[]): Block {
  const causes = [
    ...new Set(cells.flatMap(({ accuracy }) => accuracy.causes.map(({ cause }) => cause))),
  ].sort();
  return plot({
    kind: "bars",
    title: "The marker: what is wrong, by cause",
    unit: "% of pages and steps",
    stacked: true,
    groups: cells.map(({ workload }) => workload),
    series: causes.map((cause) => ({
      name: cause,
      values: cells.map(({ accuracy }) => {
        const found = accuracy.causes.find((one) => one.cause === cause);
        return ((found?.pageSteps ?? 0) / accuracy.pageSteps) * 100;
      }),
    })),
  });
}

function stepsPlot(cells: readonly AccuracyCell[]): Block {
  return plot({
    kind: "lines",
    title: "The marker: pages whose bit is wrong, step by step",
    xLabel: "step",
    yLabel: "pages",
    series: cells.map(({ workload, accuracy }) => {
      const every = Math.max(1, Math.ceil(accuracy.steps / POINTS_MAX));
      const points: [number, number][] = [];
      for (let step = 0; step < accuracy.steps; step += every)
        points.push([step + 1, accuracy.falseNegativesByStep[step] + accuracy.falsePositivesByStep[step]]);
      return { name: workload, points };
    }),
  });
}
