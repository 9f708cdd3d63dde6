import process from "node:process";
import type { Command } from "commander";
import pc from "picocolors";
import { getBorderCharacters, table } from "table";
import type { Ability, Finding } from "../linux/index.ts";
import { EXIT, InputError } from "./errors.ts";

const WIDTH_MAX = 120;
/** For the mark and the name, with what is between. */
const NAME_COLUMNS = 36;

/** The findings about one thing: the machine, or the process. */
interface Section {
  readonly title: string;
  readonly findings: readonly Finding[];
}

/** Whether an ability is there as a whole, in part or not at all, and for want of what. */
interface Verdict {
  readonly possible: "yes" | "in part" | "no";
  readonly wants: readonly string[];
}

export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .summary("what this kernel, these privileges and a process allow")
    .description(
      "Tries what scan and attach need of this kernel, of our privileges and of a process, and tells for each " +
        "thing that is missing what it costs and how to get it. The process is not touched.",
    )
    .argument("[pid]", "a process to be looked at, or attached to")
    .option("--json", "print the findings as JSON")
    .addHelpText(
      "after",
      `
Examples:
  ptemark doctor
  sudo ptemark doctor 4711
  ptemark doctor --json | jq '.findings[] | select(.available | not)'

Exit codes: 0 scan and attach can work, 1 scan can, attach can't; 2 no such process; 3 neither can.`,
    )
    .action(doctor);
}

async function doctor(argument: string | undefined, { json }: { json?: boolean }): Promise<void> {
  const pid = argument === undefined ? undefined : parsePid(argument);
  const { capabilities, processCapabilities } = await import("../linux/index.ts");
  const ofProcess = pid === undefined ? undefined : processCapabilities(pid);
  const { kernel, findings } = capabilities();
  const all = [...findings, ...(ofProcess?.findings ?? [])];
  const looking = verdictOn("looking", all);
  const attaching = verdictOn("attaching", all);
  if (json) {
    process.stdout.write(
      `${JSON.stringify({ kernel, scan: looking, attach: attaching, findings, process: ofProcess })}\n`,
    );
  } else {
    const sections: Section[] = [{ title: `Linux ${kernel}`, findings }];
    if (ofProcess) {
      sections.push({ title: `Process ${ofProcess.pid} (${ofProcess.name})`, findings: ofProcess.findings });
    }
    for (const section of sections) process.stdout.write(renderSection(section));
    process.stdout.write(`${renderVerdict("scan", looking)}${renderVerdict("attach", attaching)}`);
  }
  if (looking.possible === "no") process.exitCode = EXIT.NOT_POSSIBLE;
  else if (attaching.possible === "no") process.exitCode = EXIT.FOUND;
}

function parsePid(argument: string): number {
  if (!/^[1-9]\d*$/.test(argument))
    throw new InputError(`"${argument}" is no pid; give the number of a process`);
  return Number(argument);
}

/** What is needed for looking is needed for attaching too. */
function verdictOn(ability: Ability, findings: readonly Finding[]): Verdict {
  const lacking = findings.filter(({ available }) => !available);
  const isNeeded = ({ neededFor }: Finding) => neededFor === "looking" || neededFor === ability;
  const stops = lacking.filter(isNeeded);
  if (stops.length > 0) return { possible: "no", wants: stops.map(({ name }) => name) };
  const limits = lacking.filter(({ limits }) => limits === ability);
  return { possible: limits.length > 0 ? "in part" : "yes", wants: limits.map(({ name }) => name) };
}

function renderSection({ title, findings }: Section): string {
  const width = Math.min(process.stdout.columns ?? WIDTH_MAX, WIDTH_MAX);
  const rows = findings.map((finding) => [markOf(finding), finding.name, describe(finding)]);
  const text = table(rows, {
    border: getBorderCharacters("void"),
    columnDefault: { paddingLeft: 0, paddingRight: 1, wrapWord: true },
    columns: [{ width: 1 }, { width: NAME_COLUMNS - 4 }, { width: Math.max(20, width - NAME_COLUMNS - 1) }],
    drawHorizontalLine: () => false,
  });
  return `${pc.bold(title)}\n${text.replace(/ +$/gm, "")}\n`;
}

function markOf({ available, neededFor }: Finding): string {
  if (available) return pc.green("✓");
  return neededFor === undefined ? pc.yellow("–") : pc.red("✗");
}

function describe({ available, reason, cost, remedy }: Finding): string {
  if (available) return reason;
  const lines = [reason, pc.dim(`without it: ${cost}`)];
  if (remedy !== "") lines.push(pc.dim(`to get it: ${remedy}`));
  return lines.join("\n");
}

function renderVerdict(command: string, { possible, wants }: Verdict): string {
  const colour = { yes: pc.green, "in part": pc.yellow, no: pc.red }[possible];
  const why = wants.length > 0 ? ` (for want of: ${wants.join("; ")})` : "";
  return `${pc.bold(`${command}:`)} ${colour(possible)}${why}\n`;
}
