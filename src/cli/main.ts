#!/usr/bin/env node
import process from "node:process";
import { Command } from "commander";
import { reportFailure } from "./errors.ts";
import { version } from "./version.ts";

/**
 * Only what was asked for is loaded: the rooms behind a command take longer to load than a small scan takes.
 */
const COMMANDS: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  doctor: async () => (await import("./doctor.ts")).addDoctor,
  scan: async () => (await import("./scan.ts")).addScan,
  attach: async () => (await import("./attach.ts")).addAttach,
  watch: async () => (await import("./watch.ts")).addWatch,
  functional: async () => (await import("./functional.ts")).addFunctional,
  run: async () => (await import("./run.ts")).addRun,
  conform: async () => (await import("./conform.ts")).addConform,
  accuracy: async () => (await import("./accuracy.ts")).addAccuracy,
  claims: async () => (await import("./claims.ts")).addClaims,
  bench: async () => (await import("./bench.ts")).addBench,
  series: async () => (await import("./series.ts")).addSeries,
  explore: async () => (await import("./explore.ts")).addExplore,
};

const program = new Command("ptemark")
  .description(
    "Which pages of shared memory are swapped out: asked of the running kernel, and of a model of Linux memory " +
      "management with PTE markers, checked against kernels.",
  )
  .version(version)
  .exitOverride()
  .showHelpAfterError("(--help shows the usage)")
  .addHelpText(
    "after",
    `
Examples:
  sudo ptemark scan 4711          where the pages of a process are
  sudo ptemark watch 4711         the same on the whole screen, as it goes on
  sudo ptemark attach 4711        makes pagemap show what is swapped out, and tells what comes and goes
  ptemark doctor                  what this kernel and these privileges allow
  ptemark functional              the RFC's functional test, with its mechanism and without
  ptemark run program.ops         what each op of a program changes
  ptemark conform traces.jsonl.gz whether the model shows what a kernel showed
  ptemark claims                  all that the RFC claims, measured, on one page
  ptemark accuracy                how often the swap bit is right, and why it is not
  ptemark bench swapin            what markers cost when pages come back
  ptemark series                  the RFC's four patches, and what each is for
  ptemark explore                 all programs within a scope, and what goes wrong in them

Exit codes: 0 all is well; 1 the model is not as expected, or only a part could be told; 2 the input can't
be used; 3 it is not permitted, or this kernel can't.`,
  );
const named = COMMANDS[process.argv[2] ?? ""];
for (const load of named ? [named] : Object.values(COMMANDS)) (await load())(program);

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(); // whoever reads has read enough
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  reportFailure(error);
}
