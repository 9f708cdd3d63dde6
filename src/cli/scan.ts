import process from "node:process";
import { type Command, Option } from "commander";
import pc from "picocolors";
import { PAGE_SIZE } from "../abi/mman.ts";
import type { DetectorName, MappingScan } from "../residency/detector.ts";
import { type PageRun, reportOf, runsOf } from "../residency/report.ts";
import {
  createDetector,
  DETECTORS,
  type ScannedMapping,
  scanTarget,
  type TargetScan,
} from "../residency/scan.ts";
import type { Mapping, Target } from "../residency/target.ts";
import { EXIT, exitCodeOf, InputError, tell } from "./errors.ts";
import { mappingFilter } from "./mapping-filter.ts";
import { drawPageMap, pageMapLegend, pagesPerCell } from "./page-map.ts";
import { hasMemory, pidsOf, refuseWithoutMemory } from "./processes.ts";
import { Progress } from "./progress.ts";
import { MAPPING_CSV_HEADER, RUN_CSV_HEADER, runToCsv, scanToCsv } from "./scan-csv.ts";
import { renderScan, statesShown, terminalWidth } from "./scan-table.ts";
import { counted, flagsOf, hex, printable } from "./scan-words.ts";

interface ScanCommandOptions {
  readonly all?: boolean;
  readonly mapping?: string;
  readonly detector: DetectorName;
  readonly pages?: boolean;
  readonly map?: boolean;
  readonly json?: boolean;
  readonly csv?: boolean;
}

export function addScan(program: Command): void {
  program
    .command("scan")
    .summary("which pages of a process are where: present, cached, swapped out, never allocated")
    .description(
      "Tells for each mapping of a process where its pages are. A page of shared memory that was swapped out " +
        "leaves nothing in the page table, so the object that is mapped is asked too. Looking changes nothing.",
    )
    .argument("[processes...]", "pids, or names of programs that run")
    .option(
      "--all",
      "all processes: what shared memory is swapped out, and who holds it; each object counts once",
    )
    .option("--mapping <regexp>", "only mappings whose kind and object match, such as 'shmem' or 'memfd:ram'")
    .addOption(
      new Option("--detector <name>", "who is asked: see below").choices([...DETECTORS]).default("exact"),
    )
    .option("--pages", "list the pages: a run of equal ones a line")
    .option("--map", "draw each mapping: each cell stands for a run of pages")
    .option("--json", "print JSON, one line a process")
    .option("--csv", "print CSV, one line a mapping (with --pages: a run of pages)")
    .addHelpText(
      "after",
      `
Detectors:
  exact       the page table, and where it leaves a doubt the object: exact at rest
  page-cache  the same, and nothing is remembered or believed
  marker      the page table alone; a marker (see attach) counts as swapped: fast, and it may be stale
  pagemap     the page table alone, as the kernel shows it: what is not mapped is unknown

Examples:
  ptemark scan 4711
  sudo ptemark scan postgres --mapping shmem --map
  sudo ptemark scan 4711 --json | jq .totals
  sudo ptemark scan --all

Exit codes: 0 done, 1 a part could not be told (stderr says what), 2 no such process, 3 not permitted.`,
    )
    .action(scan);
}

async function scan(processes: readonly string[], options: ScanCommandOptions): Promise<void> {
  checkOptions(processes, options);
  const isWanted = mappingFilter(options.mapping);
  if (options.all) {
    const { showOverview } = await import("./overview.ts");
    showOverview(options, isWanted);
    return;
  }
  const { LinuxTarget } = await import("../residency/linux-target.ts");
  const pids = pidsOf(processes);
  const print = printerFor(options);
  const failures: unknown[] = [];
  for (const pid of pids) {
    try {
      refuseWithoutMemory(pid);
      using target = LinuxTarget.open(pid);
      print(scanWithProgress(target, options.detector, isWanted));
    } catch (error) {
      if (exitCodeOf(error) === EXIT.BUG || pids.length === 1) throw error;
      failures.push(error);
      tell(error);
    }
  }
  if (failures.length === pids.length) process.exitCode = exitCodeOf(failures[0]);
  else if (failures.length > 0) process.exitCode = EXIT.FOUND;
}

function checkOptions(
  processes: readonly string[],
  { all, pages, map, json, csv }: ScanCommandOptions,
): void {
  if (all ? processes.length > 0 : processes.length === 0) {
    throw new InputError("scan takes either --all or processes: pids, or names of programs that run");
  }
  if (json && csv) throw new InputError("--json and --csv exclude each other");
  if (map && (json || csv))
    throw new InputError("--map draws for the eye: leave it off with --json and --csv");
  if (all && (pages || map))
    throw new InputError("--all tells of objects as a whole: leave off --pages and --map");
}

function scanWithProgress(
  target: Target,
  detector: DetectorName,
  choose: (mapping: Mapping) => boolean,
): TargetScan {
  let progress: Progress | undefined;
  try {
    return scanTarget(target, createDetector(detector, target), {
      choose,
      onProgress(donePages, pages) {
        progress ??= new Progress(pages);
        progress.update(donePages, target.name);
      },
    });
  } finally {
    progress?.stop();
  }
}

/** Prints what was found, and tells on stderr what could not be. */
function printerFor(options: ScanCommandOptions): (scan: TargetScan) => void {
  const { json, csv, pages } = options;
  if (csv) process.stdout.write(pages ? RUN_CSV_HEADER : MAPPING_CSV_HEADER);
  const render = json ? renderJson : csv ? (pages ? renderRunsCsv : scanToCsv) : renderText;
  return (scan) => {
    process.stdout.write(render(scan, options));
    for (const lack of lacksOf(scan)) {
      process.stderr.write(`ptemark: process ${scan.pid} (${printable(scan.name)}): ${lack}\n`);
      process.exitCode = EXIT.FOUND;
    }
  };
}

/** What could not be told, or may be wrong. */
function lacksOf(scan: TargetScan): string[] {
  const lacks: string[] = [];
  const { pid, vanished } = scan;
  if (vanished.length > 0) {
    const mappings = counted(vanished.length, "mapping");
    lacks.push(
      hasMemory(pid)
        ? `${mappings} changed or went while the process was scanned; the notes tell which`
        : "it ended while it was scanned",
    );
  }
  const untold = pagesUntold(scan);
  if (untold > 0)
    lacks.push(`of ${counted(untold, "page")} it is unknown where they are; the notes tell why`);
  return lacks;
}

/** Pages that the detector should tell of, and could not. */
function pagesUntold({ detector, mappings }: TargetScan): number {
  if (detector === "pagemap" || detector === "marker") return 0;
  const tellable = mappings.filter(({ mapping: { kind } }) => kind !== "special" && kind !== "hugetlb");
  return tellable.reduce((sum, { counts }) => sum + counts.unknown, 0);
}

/** The runs of a mapping are added to it where they are wanted. */
function renderJson(scan: TargetScan, { pages }: ScanCommandOptions): string {
  const report = reportOf(scan);
  if (!pages) return `${JSON.stringify(report)}\n`;
  const mappings = report.mappings.map((mapping, index) => ({
    ...mapping,
    runs: [...runsOfMapping(scan.mappings[index])].map((run) => {
      return { start: hex(run.start), pages: run.pages, state: run.state, flags: flagsOf(run) };
    }),
  }));
  return `${JSON.stringify({ ...report, mappings })}\n`;
}

function renderRunsCsv(scan: TargetScan): string {
  const lines: string[] = [];
  for (const one of scan.mappings) {
    for (const run of runsOfMapping(one)) lines.push(runToCsv(scan, one.mapping, run));
  }
  return lines.join("");
}

function* runsOfMapping({ parts }: ScannedMapping): Generator<PageRun> {
  for (const part of parts) yield* runsOf(part);
}

function renderText(scan: TargetScan, { pages, map }: ScanCommandOptions): string {
  const { pid, name, kernel, detector, mappings, totals } = scan;
  const title = `${printable(name)} (${pid}), Linux ${kernel}, detector ${detector}`;
  const parts = [pc.bold(title), "\n"];
  if (pages)
    for (const one of mappings) parts.push(heading(one), ...[...runsOfMapping(one)].map(runLine), "\n");
  if (map) {
    for (const one of mappings) parts.push(heading(one), ...one.parts.map(draw), "\n");
    parts.push(pageMapLegend(statesShown(totals)), "\n\n");
  }
  parts.push(renderScan(scan), "\n");
  return parts.join("");
}

function heading({ mapping: { start, kind, name } }: ScannedMapping): string {
  return `${pc.bold(`${hex(start)} ${kind} ${printable(name)}`)}\n`;
}

function runLine(run: PageRun): string {
  return `${hex(run.start)} ${String(run.pages).padStart(8)} ${[run.state, ...flagsOf(run)].join(" ")}\n`;
}

/** Of a row's address, with what is between. */
const ADDRESS_COLUMNS = 15;
const ROWS_MAX = 16;

function draw({ mapping: { start }, states }: MappingScan): string {
  const layout = { columns: Math.max(16, terminalWidth() - ADDRESS_COLUMNS), rowsMax: ROWS_MAX };
  const perCell = pagesPerCell(states.length, layout);
  const rows = drawPageMap(states, layout).map(
    ({ firstPage, cells }) => `${hex(start + firstPage * PAGE_SIZE)} ${cells}\n`,
  );
  return `${rows.join("")}${pc.dim(`a cell is ${perCell === 1 ? "a page" : `${perCell} pages`}`)}\n`;
}
