/**
 * What the RFC claims, what it admits, and what it does not say: each with what was measured, and a verdict.
 */

import { shareRight } from "./accuracy.ts";
import { MARKER, ON_THIS_KERNEL } from "./accuracy-suite.ts";
import type { ClaimsSuite, ScenarioRow } from "./claims-suite.ts";
import { change, changeWithInterval, number, percent, times, whole } from "./format.ts";
import type { PagemapCost } from "./pagemap-cost.ts";
import { costOf, REFERENCE_COSTS } from "./reference-costs.ts";
import { SCENARIOS, type Scenario, type ScenarioOutcome } from "./scenarios.ts";
import { RFC_SWAP_IN } from "./swap-in-report.ts";

export type Verdict = "holds" | "holds in part" | "does not hold" | "shown" | "not shown";

export interface Claim {
  readonly id: string;
  /** The RFC claims it; admits it as a flaw; or says nothing of it. */
  readonly kind: "claim" | "admitted flaw" | "flaw not admitted" | "cost not mentioned";
  readonly title: string;
  readonly said: string;
  /** Of a real 6.1 kernel with the RFC ported; "" where there is nothing to say. */
  readonly realKernel: string;
  readonly model: string;
  readonly thisKernel: string;
  readonly verdict: Verdict;
  /** Prints these numbers. */
  readonly command: string;
}

export function judgeClaims(suite: ClaimsSuite): Claim[] {
  return [
    functional(suite),
    swapIn(suite),
    pagemapIsFree(suite),
    rivalIsSlower(suite),
    accuracy(suite),
    swapType(suite),
    ...SCENARIOS.filter(({ id }) => id !== "functional").map((scenario) => scenarioClaim(suite, scenario)),
    mincore(suite),
    faultAround(suite),
    otherCalls(suite),
  ];
}

function rowOf({ scenarios }: ClaimsSuite, id: string): ScenarioRow {
  const row = scenarios.find((one) => one.id === id);
  if (row === undefined) throw new Error(`no scenario ${id}`);
  return row;
}

const ON_MODEL = ["none", "marker", "filled marker", "look-up", "stand-in"];
const LIVE = [ON_THIS_KERNEL.standIn, ON_THIS_KERNEL.exact];

/** What each of them has to say, where it was asked. */
function told(
  row: ScenarioRow,
  names: readonly string[],
  value: (outcome: ScenarioOutcome) => number,
): string {
  return names
    .filter((name) => row.byMechanism[name] !== undefined)
    .map((name) => `${name} ${value(row.byMechanism[name])}`)
    .join(", ");
}

function live(suite: ClaimsSuite, text: string): string {
  return text === "" ? `Not measured: ${suite.liveObstacle}` : text;
}

const KIND_OF_SCENARIO = {
  claimed: "claim",
  admitted: "admitted flaw",
  "not admitted": "flaw not admitted",
} as const;

/** What goes wrong (or does not) in a short program: pages for which the answer is wrong at its end. */
function scenarioClaim(suite: ClaimsSuite, scenario: Scenario): Claim {
  const { id, title, kind, said, remark, cause } = scenario;
  const row = rowOf(suite, id);
  const asExpected = row.byMechanism[MARKER.name].isAsExpected;
  const wrong = ({ wrongAtEnd }: ScenarioOutcome): number => wrongAtEnd;
  const onThisKernel = told(row, LIVE, wrong);
  const seen = suite.recorded.causes.find((one) => one.cause === cause);
  return {
    id,
    kind: KIND_OF_SCENARIO[kind],
    title,
    said,
    realKernel:
      seen === undefined
        ? ""
        : `Seen in ${whole(seen.traces)} of its ${whole(suite.recorded.traces)} recorded traces (${seen.firstTrace}).`,
    model:
      `${remark[0].toUpperCase()}${remark.slice(1)}. Pages with a wrong answer at the end: ` +
      `${told(row, ON_MODEL, wrong)}.`,
    thisKernel: live(
      suite,
      onThisKernel === "" ? "" : `Pages with a wrong answer at the end: ${onThisKernel}.`,
    ),
    verdict:
      kind === "claimed" ? (asExpected ? "holds" : "does not hold") : asExpected ? "shown" : "not shown",
    command: "ptemark claims",
  };
}

function functional(suite: ClaimsSuite): Claim {
  const row = rowOf(suite, "functional");
  const wrongSteps = ({ accuracy }: ScenarioOutcome): number =>
    accuracy.falseNegatives + accuracy.falsePositives;
  const onThisKernel = told(row, LIVE, wrongSteps);
  return {
    id: "functional",
    kind: "claim",
    title: "The swap bit is right in the functional test",
    said:
      "Fault, page-out, fault, removal, page-out, removal of one page: the bit is right after each step; without " +
      "the option it is never set.",
    realKernel: "",
    model: `Steps after which the bit is wrong: ${told(row, ON_MODEL, wrongSteps)}.`,
    thisKernel: live(
      suite,
      onThisKernel === "" ? "" : `Steps after which the answer is wrong: ${onThisKernel}.`,
    ),
    verdict: row.byMechanism[MARKER.name].isAsExpected ? "holds" : "does not hold",
    command: "ptemark functional",
  };
}

/** The overhead that the RFC states, with some room for another machine. */
const SWAP_IN_OVERHEAD_MAX = 1.015;

function swapIn(suite: ClaimsSuite): Claim {
  const [base, , both] = RFC_SWAP_IN;
  const costs = REFERENCE_COSTS.filter(({ id }) => id.startsWith("swap-in"));
  const changes = costs.map(({ stock, rfc }) => rfc / stock);
  const added = costs.map(({ stock, rfc }) => rfc - stock);
  const { model, live: onKernel } = suite.swapIn;
  const [without, , marked] = model.workAPage;
  const sameWork = Object.keys(without).every((name) => without[name] === marked[name]);
  return {
    id: "swap-in",
    kind: "claim",
    title: "Swap-in is hardly slower",
    said:
      `Sequential swap-in of 1 GiB: ${RFC_SWAP_IN.map(({ microseconds }) => whole(microseconds)).join(", ")} us ` +
      `(${change(both.microseconds / base.microseconds)} with markers).`,
    realKernel:
      `${number(Math.min(...added))} to ${number(Math.max(...added))} instructions more a page: ` +
      `${change(Math.min(...changes))} to ${change(Math.max(...changes))}.`,
    model:
      `${ratioText(model.rows[2].change)} of its own time; by the counters ` +
      `${sameWork ? "the same work" : "other work"} a page ` +
      `(${number(marked.pteReads)} PTEs read, ${number(marked.pageCacheLookups)} look-ups).`,
    thisKernel: live(
      suite,
      onKernel === undefined
        ? ""
        : `Armed against registered ${changeWithInterval(onKernel.armedAgainstRegistered)}; registering alone ` +
            `${ratioText(onKernel.rows[1].change)}, because it ends fault-around, which is in vain here.`,
    ),
    verdict: Math.max(...changes) <= SWAP_IN_OVERHEAD_MAX && sameWork ? "holds" : "does not hold",
    command: "ptemark bench swapin",
  };
}

function ratioText(ratio: Parameters<typeof changeWithInterval>[0] | undefined): string {
  return ratio === undefined ? "" : changeWithInterval(ratio);
}

function modelCost({ pagemap }: ClaimsSuite, state: string, config: string): PagemapCost {
  const found = pagemap.model.find((cost) => cost.state === state && cost.config === config);
  if (found === undefined) throw new Error(`no cost of ${config} for ${state}`);
  return found;
}

function pagemapIsFree(suite: ClaimsSuite): Claim {
  const costs = ["present", "never touched", "swapped out"].map((state) => ({
    state,
    ...costOf(`pagemap, one read of the whole range, ${state}`),
  }));
  const liveCosts = suite.pagemap.live?.filter(({ method }) => method === "marker: pagemap") ?? [];
  const lookups = suite.pagemap.model
    .filter(({ config }) => config === "marker")
    .map((one) => one.lookupsPerEntry);
  return {
    id: "pagemap",
    kind: "claim",
    title: "Reading pagemap costs nothing more",
    said: "Zero overhead on pagemap reads; the code that reads it needs no change.",
    realKernel: `Instructions an entry: ${costs
      .map(({ state, stock, rfc }) => `${state} ${number(stock)} and ${number(rfc)}`)
      .join(", ")}.`,
    model: `${["present", "never touched", "swapped"]
      .map((state) => `${state} ${ratioText(modelCost(suite, state, "marker").change)}`)
      .join(", ")}; ${whole(Math.max(...lookups))} look-ups.`,
    thisKernel: live(suite, liveCosts.map((cost) => `${cost.state} ${ratioText(cost.change)}`).join(", ")),
    // A swapped range costs more on the real kernel, and nothing else does.
    verdict:
      costs[2].beyondNoise && !costs[0].beyondNoise && !costs[1].beyondNoise
        ? "holds in part"
        : "does not hold",
    command: "ptemark bench pagemap",
  };
}

function rivalIsSlower(suite: ClaimsSuite): Claim {
  const states = ["present", "swapped", "every 2nd page swapped", "never touched"];
  // What is certain: the lower end of the interval.
  const slowest = Math.max(...states.map((state) => modelCost(suite, state, "look-up").change?.low ?? 1));
  const liveAsked = suite.pagemap.live?.filter(
    ({ method, state }) => method.startsWith("page cache") && state === "swapped",
  );
  return {
    id: "rival",
    kind: "claim",
    title: "The rival makes reading pagemap four times as dear",
    said:
      "Looking every empty PTE up in the page cache: about 4 times the cost, for every user of shared memory. The " +
      "rival's own table has 10.43 and 37.43 s for single entries, 0.10 and 0.21 s for 512 a read.",
    realKernel: "",
    model: states
      .map((state) => {
        const cost = modelCost(suite, state, "look-up");
        const against = times(cost.change?.ratio ?? 1);
        return `${state}: ${against} times no markers, ${number(cost.lookupsPerEntry)} look-ups an entry`;
      })
      .join("; ")
      .concat("."),
    thisKernel: live(
      suite,
      liveAsked === undefined
        ? ""
        : `No kernel has it. What asks the page cache today, for a swapped range against bare pagemap: ${liveAsked
            .map(
              ({ method, change }) =>
                `${method.replace("page cache: ", "")} ${times(change?.ratio ?? 1)} times`,
            )
            .join(", ")}.`,
    ),
    verdict: slowest >= 4 ? "holds" : slowest > 1.05 ? "holds in part" : "does not hold",
    command: "ptemark bench pagemap",
  };
}

const SHARE_CLAIMED = 0.9999;

function accuracy(suite: ClaimsSuite): Claim {
  const shares = (mechanism: string): string =>
    suite.accuracy.cells
      .filter((cell) => cell.mechanism === mechanism)
      .map((cell) => `${cell.workload} ${percent(shareRight(cell.accuracy))}`)
      .join(", ");
  const ofMarker = suite.accuracy.cells.filter(({ mechanism }) => mechanism === MARKER.name);
  const right = ofMarker.map((cell) => shareRight(cell.accuracy));
  const vm = suite.accuracy.sweeps.find(({ option }) => option === "zapRate");
  const unzapped = vm?.points.find(({ value }) => value === 0)?.share ?? 0;
  const onThisKernel = suite.accuracy.cells.some(({ mechanism }) => mechanism === ON_THIS_KERNEL.exact);
  return {
    id: "accuracy",
    kind: "claim",
    title: "Right in 99.99 % of cases",
    said: "Best effort, but should work in 99.99 % of cases (later in the thread: 99 %).",
    realKernel: "",
    model:
      `Marker: ${shares(MARKER.name)}; one VM whose pages are never zapped ${percent(unzapped, 3)}. ` +
      `Look-up: ${shares("look-up")}.`,
    thisKernel: live(
      suite,
      onThisKernel
        ? `Stand-in: ${shares(ON_THIS_KERNEL.standIn)}. Exact: ${shares(ON_THIS_KERNEL.exact)}.`
        : "",
    ),
    verdict: right.every((share) => share >= SHARE_CLAIMED)
      ? "holds"
      : Math.max(unzapped, ...right) >= SHARE_CLAIMED
        ? "holds in part"
        : "does not hold",
    command: "ptemark accuracy",
  };
}

function swapType({ swapAreas }: ClaimsSuite): Claim {
  return {
    id: "swap-type",
    kind: "claim",
    title: "One swap type less",
    said: "Markers take a swap type, so that there can be one swap area less.",
    realKernel: "",
    model: `${swapAreas.without} areas without PTE_MARKER, ${swapAreas.with} with it (6.1, everything else on).`,
    thisKernel: "Markers are in every kernel since 5.19; this is paid already.",
    verdict: swapAreas.without - swapAreas.with === 1 ? "holds" : "does not hold",
    command: "ptemark claims",
  };
}

function mincore({ mincoreUnderMarkers }: ClaimsSuite): Claim {
  const { stock, rfc } = costOf("mincore, the process's own mapping, swapped out");
  const told = [...mincoreUnderMarkers].filter((digit) => digit === "1").length;
  return {
    id: "mincore",
    kind: "admitted flaw",
    title: "mincore takes markers for pages in memory",
    said: "Found in the thread: every page that was ever written reads as in memory, swapped or not.",
    realKernel:
      `The port asks the object where the PTE is a marker: ${number(stock)} and ${number(rfc)} ` +
      `instructions a page.`,
    model: `The same: of ${mincoreUnderMarkers.length} pages in swap, mincore says that ${told} are in memory.`,
    thisKernel: "Markers are asked past since 5.19.",
    verdict: told > 0 ? "shown" : "not shown",
    command: "ptemark claims",
  };
}

function faultAround(suite: ClaimsSuite): Claim {
  const model = (name: string, stride: number) => {
    const row = suite.swapIn.faultAround.find((one) => one.name === name && one.stride === stride);
    if (row === undefined) throw new Error(`no row ${name}`);
    return row;
  };
  const [dense, sparse] = [
    costOf("sequential read, back in the page cache by another process"),
    costOf("sparse read, 1 page in 16, back in the page cache by another process"),
  ];
  const filled = "markers, and fault-around fills them";
  const faults = (stride: number): string =>
    `${whole(model("no markers", stride).minorFaults)} faults without, ` +
    `${whole(model("markers", stride).minorFaults)} ` +
    `with, ${whole(model(filled, stride).minorFaults)} if fault-around may fill markers`;
  const onThisKernel = (suite.swapIn.liveFaultAround ?? [])
    .filter(({ stride }) => stride === 1)
    .map((row) => `${row.name}: ${whole(row.minorFaults)} faults, ${whole(row.microseconds)} us`)
    .join("; ");
  return {
    id: "fault-around",
    kind: "cost not mentioned",
    title: "Markers take fault-around away",
    said: "Nothing. Fault-around fills empty PTEs only, so pages that others brought back take a fault each.",
    realKernel:
      `${whole(dense.stockFaults ?? 0)} faults without, ${whole(dense.rfcFaults ?? 0)} with: ` +
      `${number(dense.stock)} and ` +
      `${number(dense.rfc)} instructions a page. One page in 16 read: ${number(sparse.stock)} and ` +
      `${number(sparse.rfc)}.`,
    model:
      `Every page: ${faults(1)}. One in 16: ${faults(16)}; pages shown wrongly as swapped afterwards: ` +
      `${whole(model("markers", 16).staleAfter)}, and ${whole(model(filled, 16).staleAfter)} if filled.`,
    thisKernel: live(suite, onThisKernel),
    verdict:
      model("no markers", 1).minorFaults === dense.stockFaults &&
      model("markers", 1).minorFaults === dense.rfcFaults
        ? "shown"
        : "not shown",
    command: "ptemark bench swapin",
  };
}

function otherCalls({ markerWork }: ClaimsSuite): Claim {
  const costs = markerWork.map((work) => ({ ...work, ...costOf(work.referenceId) }));
  return {
    id: "other-calls",
    kind: "cost not mentioned",
    title: "Calls that meet markers do more than for empty PTEs",
    said: "Nothing of munmap, mprotect, fork of a private mapping, or mincore.",
    realKernel: `Instructions a page of a swapped-out range: ${costs
      .map(({ call, stock, rfc }) => `${call} ${number(stock)} and ${number(rfc)}`)
      .join(", ")}.`,
    model: `PTEs written a page: ${costs
      .map((cost) => `${cost.call} ${number(cost.without.pteWrites)} and ${number(cost.with.pteWrites)}`)
      .join(", ")}.`,
    thisKernel: "",
    verdict: costs.some(({ beyondNoise }) => beyondNoise) ? "shown" : "not shown",
    command: "ptemark claims",
  };
}
