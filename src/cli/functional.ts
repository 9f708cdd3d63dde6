import process from "node:process";
import type { Command } from "commander";
import pc from "picocolors";
import { type FunctionalResult, formatFunctionalRow, runFunctionalTest } from "../lab/functional.ts";
import { profileNamed } from "../model/index.ts";
import { createModelMachine } from "../script/index.ts";
import { EXIT } from "./errors.ts";

/** The profile with the RFC's mechanism, whose result decides, and the same kernel without. */
const WITH_MARKERS = "rfc";
const PROFILES = [WITH_MARKERS, "linux-6.1"];

interface Result extends FunctionalResult {
  readonly backend: "model";
  readonly profile: string;
}

export function addFunctional(program: Command): void {
  program
    .command("functional")
    .summary("run the RFC's functional test")
    .description(
      'Runs the functional test of the RFC ("mm: Enable PM_SWAP for shmem with PTE_MARKER") on the model: a page\n' +
        "of shared memory is faulted in, paged out, faulted in, removed, and what pagemap says of it is shown;\n" +
        "with PTE_MARKER_PAGEOUT, where the swap bit must be right (else exit code 1), and without.",
    )
    .option("--json", "print the results as JSON")
    .addHelpText("after", "\nExamples:\n  ptemark functional\n  ptemark functional --json")
    .action(({ json }: { json?: boolean }) => {
      const results = PROFILES.map(runOn);
      process.stdout.write(json ? `${JSON.stringify({ results })}\n` : results.map(render).join("\n"));
      if (results.some(({ profile, pass }) => profile === WITH_MARKERS && !pass)) {
        process.exitCode = EXIT.FOUND;
      }
    });
}

function runOn(profile: string): Result {
  const machine = createModelMachine({ profile });
  try {
    return { backend: "model", profile, ...runFunctionalTest(machine) };
  } finally {
    machine.close();
  }
}

function render({ profile, pass, rows }: Result): string {
  const hasMarkers = profileNamed(profile).PTE_MARKER_PAGEOUT;
  const wrong = rows.filter(({ expect, swap }) => expect !== swap).length;
  const verdict = pass
    ? pc.green("PASS: the swap bit is right in every row")
    : `${hasMarkers ? pc.red("FAIL") : pc.yellow("as expected without markers")}: ` +
      `the swap bit is wrong in ${wrong} of ${rows.length} rows`;
  const title = `Model, profile ${profile} (PTE_MARKER_PAGEOUT ${hasMarkers ? "on" : "off"})`;
  return `${[pc.bold(title), ...rows.map(formatFunctionalRow), verdict].join("\n")}\n`;
}
