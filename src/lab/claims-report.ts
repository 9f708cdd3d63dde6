import { describeAccuracy } from "./accuracy-report.ts";
import { type Claim, judgeClaims } from "./claims.ts";
import type { ClaimsSuite } from "./claims-suite.ts";
import { type Block, heading, list, table, text } from "./document.ts";
import { FALSE_NEGATIVE_CAUSES, FALSE_POSITIVE_CAUSES } from "./error-cause.ts";
import { number, whole } from "./format.ts";
import { describePagemap } from "./pagemap-report.ts";
import type { RecordedAccuracy } from "./recorded-accuracy.ts";
import { REFERENCE_COSTS } from "./reference-costs.ts";
import { SCENARIOS } from "./scenarios.ts";
import { describeSwapIn, describeSwapInTimes } from "./swap-in-report.ts";

/** Where it was measured, as the reader needs to know. */
export interface MeasuredOn {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
}

/** The page: every claim with its verdict, then what they rest on. */
export function describeClaims(
  suite: ClaimsSuite,
  { cpu, cores, memoryGiB, kernel, node }: MeasuredOn,
): Block[] {
  const claims = judgeClaims(suite);
  return [
    heading(1, "The RFC's claims, measured"),
    text(
      'The RFC "mm: Enable PM_SWAP for shmem with PTE_MARKER" (August 2021) states what markers do and cost, and ' +
        "admits two flaws. Here each is held against a real 6.1 kernel to which it was ported, the model, and this " +
        "kernel as it is, on which write-protection through userfaultfd leaves markers in its stead (the stand-in).",
    ),
    text(
      `Made by \`ptemark claims --markdown${suite.quick ? " --quick" : ""} --seed ${suite.seed}\`: no ` +
        `number is typed. ` +
        `Measured on ${cpu} with ${cores} cores, ${memoryGiB} GiB, Linux ${kernel}, Node ${node}. ` +
        `${suite.quick ? "Small sizes: times mean little. " : ""}` +
        "Times differ from run to run; what is counted does not.",
    ),
    table(
      "",
      ["claim", "kind", "verdict"],
      claims.map(({ title, kind, verdict }) => [title, kind, verdict]),
    ),
    heading(2, "Claim by claim"),
    ...claims.flatMap(describeClaim),
    ...describeScenarios(suite),
    ...describeRecorded(suite.recorded),
    ...describeSwapIn(suite.swapIn),
    heading(2, "Swap-in, with swap on a disk"),
    ...describeSwapInTimes(suite.swapInFile),
    ...describePagemap(suite.pagemap),
    ...describeAccuracy(suite.accuracy),
    heading(2, "What a real kernel with the RFC costs"),
    text(
      "Guest instructions a page (of a sparse read: a page read), user and kernel, counted in an emulator: 6.1.192 " +
        "without PTE_MARKER_PAGEOUT and with the RFC ported, one CPU, 64 MiB of a memfd, zram, 5 rounds in each of 2 " +
        "boots. How it was measured is told in `src/lab/reference-costs.ts`. Instructions are not time.",
    ),
    table(
      "Instructions a page",
      ["what, and state of the range", "without", "with", "difference"],
      REFERENCE_COSTS.map(({ id, stock, rfc, beyondNoise }) => [
        id,
        number(stock),
        number(rfc),
        beyondNoise ? number(rfc - stock) : "within noise",
      ]),
    ),
  ];
}

/** The flaws' programs, and who is wrong at the end of each. */
function describeScenarios({ scenarios }: ClaimsSuite): Block[] {
  const mechanisms = Object.keys(scenarios[0].byMechanism);
  return [
    heading(2, "Flaws as programs"),
    text(
      "The shortest program for each; `ptemark run` runs them. `none`: no markers; `marker`: the RFC; " +
        "`filled marker`: " +
        "the RFC, and fault-around fills plain markers; `look-up`: the rival; `stand-in`: what 6.18 has; " +
        "`exact`: the " +
        "marker where there is one, the object where in doubt.",
    ),
    table(
      "Pages (of four; of each process and mapping) with a wrong answer after the last step",
      ["program", ...mechanisms],
      scenarios.map(({ id, byMechanism }) => [
        id,
        ...mechanisms.map((name) =>
          byMechanism[name] === undefined ? "" : whole(byMechanism[name].wrongAtEnd),
        ),
      ]),
    ),
    list(SCENARIOS.map(({ id, program }) => `${id}: \`${program.replaceAll("\n", "; ")}\``)),
  ];
}

function describeRecorded({ traces, steps, causes }: RecordedAccuracy): Block[] {
  const told: Readonly<Record<string, string>> = { ...FALSE_NEGATIVE_CAUSES, ...FALSE_POSITIVE_CAUSES };
  return [
    heading(2, "On a real kernel with the RFC"),
    text(
      `${whole(traces)} random programs were recorded on it (${whole(steps)} steps), which the model repeats step by ` +
        "step (`ptemark conform`). Where PM_SWAP of a shared page was wrong there, and why:",
    ),
    table(
      "",
      ["cause", "traces", "first", "errors", "what happened"],
      causes.map(({ cause, traces, firstTrace, errors }) => [
        cause,
        whole(traces),
        firstTrace,
        whole(errors),
        told[cause],
      ]),
    ),
  ];
}

function describeClaim({
  title,
  kind,
  said,
  realKernel,
  model,
  thisKernel,
  verdict,
  command,
}: Claim): Block[] {
  return [
    heading(3, title),
    list([
      `${kind}: ${verdict}`,
      `The RFC: ${said}`,
      ...(realKernel === "" ? [] : [`A real kernel with it: ${realKernel}`]),
      `The model: ${model}`,
      ...(thisKernel === "" ? [] : [`This kernel: ${thisKernel}`]),
      `Command: \`${command}\``,
    ]),
  ];
}
