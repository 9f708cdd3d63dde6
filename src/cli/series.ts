import process from "node:process";
import type { Command } from "commander";
import pc from "picocolors";
import { getBorderCharacters, table } from "table";
import {
  PATCHES,
  reasonsFor,
  runSubset,
  type SeriesFinding,
  type SubsetResult,
  subsets,
  verdictOf,
} from "../lab/series.ts";
import { EXIT } from "./errors.ts";
import { Progress } from "./progress.ts";

interface Options {
  readonly json?: boolean;
  readonly markdown?: boolean;
}

export function addSeries(program: Command): void {
  program
    .command("series")
    .summary("the RFC's four patches, and what each is for")
    .description(
      "Runs the RFC's functional test and a short exploration (all programs of 5 operations, all interleavings " +
        "of two accesses and a page-out) on the model with every subset of the RFC's four patches that can exist, " +
        "and tells what works, what breaks, and the shortest program or interleaving that shows it.",
    )
    .option("--json", "print the results as JSON")
    .option("--markdown", "print them as Markdown")
    .addHelpText("after", "\nExamples:\n  ptemark series\n  ptemark series --markdown > series.md")
    .action(series);
}

function series({ json, markdown }: Options): void {
  const all = subsets();
  const progress = new Progress(all.length);
  const results: SubsetResult[] = [];
  for (const patches of all) {
    results.push(runSubset(patches));
    progress.update(results.length, `patches ${nameOf(patches)}`);
  }
  progress.stop();
  process.stdout.write(json ? toJson(results) : markdown ? toMarkdown(results) : toText(results));
  const whole = results.find(({ patches }) => patches.length === PATCHES.length);
  if (whole === undefined || verdictOf(whole) !== "works") process.exitCode = EXIT.FOUND;
}

function nameOf(patches: readonly number[]): string {
  return patches.length === 0 ? "none" : patches.join("+");
}

function functionalText({ functional, stopped }: SubsetResult): string {
  if (functional === undefined)
    return /retried for ever/.test(stopped) ? "never ends" : (/SIG\w+/.exec(stopped)?.[0] ?? stopped);
  const wrong = functional.rows.filter(({ expect, swap }) => expect !== swap).length;
  return wrong === 0 ? "all rows right" : `${wrong} of ${functional.rows.length} rows wrong`;
}

function classesText(findings: readonly SeriesFinding[]): string {
  return findings.map((finding) => finding.class).join(", ") || "-";
}

const HEAD = ["patches", "verdict", "functional test", "broken", "PM_SWAP wrong"];

function rowOf(result: SubsetResult): string[] {
  return [
    nameOf(result.patches),
    verdictOf(result),
    functionalText(result),
    classesText(result.broken),
    classesText(result.wrong),
  ];
}

/** Of a subset the one thing to show: what breaks, else where PM_SWAP is lost. */
function exampleOf({ broken, wrong }: SubsetResult): SeriesFinding | undefined {
  return broken[0] ?? wrong.find((finding) => finding.class === "no-marker") ?? wrong[0];
}

function reasonText(number: number, result: SubsetResult): string {
  const needing = PATCHES.filter(({ needs }) => needs.includes(number)).map((patch) => patch.number);
  const those = needing.length === 0 ? "" : ` (nor ${needing.join(" and ")}, which need it)`;
  return `without ${number}${those}, the series ${verdictOf(result)}`;
}

function toText(results: readonly SubsetResult[]): string {
  const colours = { works: pc.green, "changes nothing": pc.yellow, breaks: pc.red };
  const rows = results.map((result) => {
    const row = rowOf(result);
    row[1] = colours[verdictOf(result)](row[1]);
    return row;
  });
  const grid = table([HEAD, ...rows], {
    border: getBorderCharacters("void"),
    columnDefault: { paddingLeft: 0, paddingRight: 2 },
    columns: { 4: { width: 40, wrapWord: true } },
    drawHorizontalLine: () => false,
  });
  const lines = PATCHES.map(({ number, title }) => `${number}  ${title}`);
  lines.push("", ...grid.trimEnd().split("\n"), "");
  for (const { patch, result } of reasonsFor(results)) {
    lines.push(pc.bold(reasonText(patch.number, result)));
    const example = exampleOf(result);
    if (example)
      lines.push(
        `  ${example.class}: ${example.sentence}`,
        ...programOf(example).map((line) => `    ${line}`),
        "",
      );
  }
  return `${lines.join("\n").trimEnd()}\n`;
}

function programOf({ prelude, lines }: SeriesFinding): string[] {
  return [...prelude, ...lines];
}

function toMarkdown(results: readonly SubsetResult[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const lines = PATCHES.map(({ number, title }) => `${number}. ${title}`);
  lines.push(
    "",
    line(HEAD),
    line(HEAD.map(() => "---")),
    ...results.map((result) => line(rowOf(result))),
    "",
  );
  for (const { patch, result } of reasonsFor(results)) {
    lines.push(`**Patch ${patch.number}:** ${reasonText(patch.number, result)}.`);
    const example = exampleOf(result);
    if (example)
      lines.push(`\`${example.class}\`: ${example.sentence}`, "", "```", ...programOf(example), "```");
    lines.push("");
  }
  return `${lines.join("\n").trimEnd()}\n`;
}

function toJson(results: readonly SubsetResult[]): string {
  const told = results.map((result) => ({ ...result, verdict: verdictOf(result) }));
  return `${JSON.stringify({ patches: PATCHES, subsets: told }, null, 1)}\n`;
}
