import process from "node:process";
import { type Command, Option } from "commander";
import pc from "picocolors";
import { type FunctionalResult, formatFunctionalRow, runFunctionalTest } from "../lab/functional.ts";
import type { LinuxView } from "../lab/functional-linux.ts";
import { profileNamed } from "../model/index.ts";
import { createModelMachine } from "../script/index.ts";
import { EXIT } from "./errors.ts";

interface ModelResult extends FunctionalResult {
  readonly backend: "model";
  readonly profile: string;
}

interface LinuxResult extends FunctionalResult {
  readonly backend: "linux";
  readonly kernel: string;
  readonly view: LinuxView;
}

type Result = ModelResult | LinuxResult;

/** A way to run the test: what stands above its rows, and what to say when the swap bit is wrong in some. */
interface Way {
  readonly title: string;
  /** undefined: it must not be, and decides the exit code. */
  readonly expected?: string;
}

const WITH_MARKERS = "rfc";
const PROFILES = [WITH_MARKERS, "linux-6.1"];

/** As the test is run on this kernel, in this order. */
const VIEWS: Readonly<Record<LinuxView, Way>> = {
  pagemap: { title: "pagemap as it is", expected: "as expected without markers" },
  marker: {
    title: "pagemap, the page write-protected through userfaultfd while present",
    expected: "as expected of such markers, which outlive REMOVE",
  },
  exact: { title: "the exact detector, stale markers healed" },
};

export function addFunctional(program: Command): void {
  program
    .command("functional")
    .summary("run the RFC's functional test")
    .description(
      'Runs the functional test of the RFC ("mm: Enable PM_SWAP for shmem with PTE_MARKER") on the model: a page ' +
        "of shared memory is faulted in, paged out, faulted in, removed, and what pagemap says of it is shown; " +
        "with PTE_MARKER_PAGEOUT, where the swap bit must be right (else exit code 1), and without. " +
        "On this kernel (needs root; swap is a zram device of its own) it shows what pagemap says as it is, and " +
        "with markers by userfaultfd, and what the exact detector answers, which must be right.",
    )
    .addOption(
      new Option("-b, --backend <name>", "what it runs on: the model, or this kernel")
        .choices(["model", "linux"])
        .default("model"),
    )
    .option("--json", "print the results as JSON")
    .addHelpText(
      "after",
      `
Examples:
  ptemark functional
  ptemark functional --json
  sudo ptemark functional --backend linux

Exit codes: 0 the swap bit is right where it must be, 1 it is not,
3 this kernel or these privileges don't allow it.`,
    )
    .action(functional);
}

async function functional({ backend, json }: { backend: "model" | "linux"; json?: boolean }): Promise<void> {
  const results = backend === "linux" ? await runOnLinux() : PROFILES.map(runOnModel);
  process.stdout.write(json ? `${JSON.stringify({ results })}\n` : results.map(render).join("\n"));
  if (results.some((result) => !result.pass && wayOf(result).expected === undefined)) {
    process.exitCode = EXIT.FOUND;
  }
}

function runOnModel(profile: string): ModelResult {
  const machine = createModelMachine({ profile });
  try {
    return { backend: "model", profile, ...runFunctionalTest(machine) };
  } finally {
    machine.close();
  }
}

async function runOnLinux(): Promise<LinuxResult[]> {
  const { LinuxHost } = await import("../script/linux-machine.ts");
  const { runFunctionalOnLinux } = await import("../lab/functional-linux.ts");
  const host = await LinuxHost.create();
  try {
    const { kernel } = host.header;
    return (Object.keys(VIEWS) as LinuxView[]).map((view) => {
      return { backend: "linux", kernel, view, ...runFunctionalOnLinux(host, view) };
    });
  } finally {
    host[Symbol.dispose]();
  }
}

function wayOf(result: Result): Way {
  if (result.backend === "linux") return VIEWS[result.view];
  const { PTE_MARKER_PAGEOUT: hasMarkers } = profileNamed(result.profile);
  const title = `Model, profile ${result.profile} (PTE_MARKER_PAGEOUT ${hasMarkers ? "on" : "off"})`;
  return hasMarkers ? { title } : { title, expected: "as expected without markers" };
}

function render(result: Result): string {
  const { title, expected } = wayOf(result);
  const { pass, rows } = result;
  const wrong = rows.filter(({ expect, swap }) => expect !== swap).length;
  const judgement = expected === undefined ? pc.red("FAIL") : pc.yellow(expected);
  const verdict = pass
    ? pc.green("PASS: the swap bit is right in every row")
    : `${judgement}: the swap bit is wrong in ${wrong} of ${rows.length} rows`;
  const head = result.backend === "linux" ? `Linux ${result.kernel}: ${title}` : title;
  return `${[pc.bold(head), ...rows.map(formatFunctionalRow), verdict].join("\n")}\n`;
}
