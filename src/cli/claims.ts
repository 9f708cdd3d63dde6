import { cpus, release, totalmem } from "node:os";
import process from "node:process";
import { type Command, Option } from "commander";
import { judgeClaims } from "../lab/claims.ts";
import { describeClaims, type MeasuredOn } from "../lab/claims-report.ts";
import { rangeOfClaims, runClaims } from "../lab/claims-suite.ts";
import { toHtml } from "../lab/html.ts";
import { toMarkdown } from "../lab/markdown.ts";
import { writePage } from "./accuracy.ts";
import { wholeNumber } from "./numbers.ts";
import { StatusLine } from "./progress.ts";
import { checkRoom } from "./room.ts";
import { toText } from "./text.ts";

interface Options {
  readonly quick?: boolean;
  readonly seed: number;
  readonly live: boolean;
  readonly markdown?: boolean;
  readonly json?: boolean;
  readonly html?: string;
}

export function addClaims(program: Command): void {
  program
    .command("claims")
    .summary("everything the RFC claims, admits and does not say, measured, on one page")
    .description(
      "Measures what the RFC claims, and shows its flaws: on the model, and on this kernel with the stand-in for " +
        "markers (needs root, zram and Linux 6.7); beside it, what a real kernel with the RFC costs. Takes minutes.",
    )
    .option("--quick", "small sizes, in less than a minute: times mean little")
    .addOption(
      new Option("--seed <n>", "of workloads, contents and resampling")
        .default(1)
        .argParser(wholeNumber("--seed", { min: 0, max: 2 ** 32 - 1 })),
    )
    .option("--no-live", "the model only")
    .addOption(new Option("--markdown", "print the page as Markdown").conflicts("json"))
    .option("--json", "print what was measured, and the verdicts, as JSON")
    .option("--html <file>", "write the page with plots")
    .addHelpText(
      "after",
      `
Examples:
  ptemark claims --quick --no-live
  sudo ptemark claims --markdown > claims.md
  sudo ptemark claims --html claims.html`,
    )
    .action(claims);
}

async function claims({ quick = false, seed, live, markdown, json, html }: Options): Promise<void> {
  checkRoom(quick ? "claims --quick" : "claims (--quick is smaller)", rangeOfClaims(quick));
  const status = new StatusLine();
  try {
    const suite = await runClaims({ quick, seed, live, onProgress: status.show });
    status.stop();
    const measuredOn = machine();
    const blocks = describeClaims(suite, measuredOn);
    if (html !== undefined) writePage(html, toHtml("The RFC's claims, measured", blocks));
    if (json)
      process.stdout.write(`${JSON.stringify({ measuredOn, claims: judgeClaims(suite), ...suite })}\n`);
    else process.stdout.write(markdown ? toMarkdown(blocks) : toText(blocks));
  } finally {
    status.stop();
  }
}

function machine(): MeasuredOn {
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() ?? "an unknown CPU",
    cores: all.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.versions.node,
  };
}
