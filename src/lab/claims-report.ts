import { describeAccuracy } from "./accuracy-report.ts";
import { type Claim, judgeClaims } from "./claims.ts";
import type { ClaimsSuite } from "./claims-suite.ts";
import { type Block, heading, list, table, text } from "./document.ts";
import { number } from "./format.ts";
import { describePagemap } from "./pagemap-report.ts";
import { REFERENCE_COSTS } from "./reference-costs.ts";
import { describeSwapIn } from "./swap-in-report.ts";

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
      `Made by \`ptemark claims --markdown${suite.quick ? " --quick" : ""} --seed ${suite.seed}\`: no number is typed. ` +
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
    ...describeSwapIn(suite.swapIn),
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
