#!/usr/bin/env node
import { readFileSync } from "node:fs";
import process from "node:process";
import { Command } from "commander";
import { addConform } from "./conform.ts";
import { reportFailure } from "./errors.ts";
import { addFunctional } from "./functional.ts";
import { addRun } from "./run.ts";

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));

const program = new Command("ptemark")
  .description(
    "Linux memory management with PTE markers for swapped-out shared memory: a model, checked against kernels.",
  )
  .version(version)
  .exitOverride()
  .showHelpAfterError("(--help shows the usage)")
  .addHelpText(
    "after",
    `
Examples:
  ptemark functional              the RFC's functional test, with its mechanism and without
  ptemark run program.ops         what each op of a program changes
  ptemark conform traces.jsonl.gz whether the model shows what a kernel showed

Exit codes: 0 all is well, 1 the model is not as expected, 2 the input can't be used.`,
  );
addFunctional(program);
addRun(program);
addConform(program);

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(); // whoever reads has read enough
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  reportFailure(error);
}
