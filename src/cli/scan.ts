import { release } from "node:os";
import process from "node:process";
import { type Command, Option } from "commander";
import pc from "picocolors";
import { PAGE_SIZE } from "../abi/mman.ts";
import type { Detector, DetectorName } from "../residency/detector.ts";
import type { Mapping, Target } from "../residency/target.ts";
import { EXIT, exitCodeOf, InputError, tell } from "./errors.ts";
import { drawPageMap, pageMapLegend, pagesPerCell } from "./page-map.ts";
import { type PageRun, pageRuns } from "./page-runs.ts";
import { type ProcessScan, scanProcess } from "./process-scan.ts";
import { pidsOf, refuseWithoutMemory } from "./processes.ts";
import { Progress } from "./progress.ts";
import { hex, MAPPING_CSV_HEADER, RUN_CSV_HEADER, runToCsv, scanToCsv, scanToJson } from "./scan-formats.ts";
import { printable, renderScan, statesShown, terminalWidth } from "./scan-table.ts";

const DETECTORS: readonly DetectorName[] = ["exact", "page-cache", "marker", "pagemap"];

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
      "Tells for each mapping of a process where its pages are. A page of shared memory that was swapped out leaves\n" +
        "nothing in the page table, so the object that is mapped is asked too. Looking changes nothing: no page is read.",
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
  sudo ptemark scan 4711
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
  const { openTarget, makeDetector } = await import("./live-target.ts");
  const pids = pidsOf(processes);
  const print = printerFor(options);
  const failures: unknown[] = [];
  for (const pid of pids) {
    try {
      refuseWithoutMemory(pid);
      using target = openTarget(pid);
      print(find(target, makeDetector(options.detector, target), isWanted, options));
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

function mappingFilter(pattern: string | undefined): (mapping: Mapping) => boolean {
  if (pattern === undefined) return () => true;
  let regexp: RegExp;
  try {
    regexp = new RegExp(pattern);
  } catch (error) {
    throw new InputError(`--mapping ${pattern}: ${(error as Error).message}`);
  }
  return ({ start, kind, name }) => regexp.test(`${hex(start)} ${kind} ${name}`);
}

/** A scan, and what is kept of the pages of its mappings. */
interface Found {
  readonly scan: ProcessScan;
  readonly runs: ReadonlyMap<Mapping, readonly PageRun[]>;
  readonly drawings: ReadonlyMap<Mapping, string>;
}

function find(
  target: Target,
  detector: Detector,
  isWanted: (mapping: Mapping) => boolean,
  { pages: wantsRuns, map: wantsDrawings }: ScanCommandOptions,
): Found {
  const runs = new Map<Mapping, readonly PageRun[]>();
  const drawings = new Map<Mapping, string>();
  let progress: Progress | undefined;
  try {
    const scan = scanProcess(target, detector, {
      isWanted,
      onMapping({ mapping, states }) {
        if (wantsRuns) runs.set(mapping, [...pageRuns(states)]);
        if (wantsDrawings) drawings.set(mapping, draw(mapping, states));
      },
      onProgress(donePages, pages) {
        progress ??= new Progress(pages);
        progress.update(donePages, target.name);
      },
    });
    return { scan, runs, drawings };
  } finally {
    progress?.stop();
  }
}

/** Prints what was found, and tells on stderr what could not be. */
function printerFor({ json, csv, pages }: ScanCommandOptions): (found: Found) => void {
  if (csv) process.stdout.write(pages ? RUN_CSV_HEADER : MAPPING_CSV_HEADER);
  const render = json ? renderJson : csv ? (pages ? renderRunsCsv : renderCsv) : renderText;
  return (found) => {
    process.stdout.write(render(found));
    const { pid, name, changes } = found.scan;
    const untold = pagesUntold(found.scan);
    const lacks = untold > 0 ? [`${untold} pages are unknown; the notes tell why`] : [];
    for (const lack of [...changes, ...lacks]) {
      process.stderr.write(`ptemark: process ${pid} (${name}): ${lack}\n`);
      process.exitCode = EXIT.FOUND;
    }
  };
}

/** Pages that the detector should tell of, and could not. */
function pagesUntold({ detector, mappings }: ProcessScan): number {
  if (detector === "pagemap" || detector === "marker") return 0;
  const tellable = mappings.filter(({ mapping: { kind } }) => kind !== "special" && kind !== "hugetlb");
  return tellable.reduce((sum, { counts }) => sum + counts.unknown, 0);
}

function renderJson({ scan, runs }: Found): string {
  return `${scanToJson(scan, release(), runs)}\n`;
}

function renderCsv({ scan }: Found): string {
  return scanToCsv(scan);
}

function renderRunsCsv({ scan, runs }: Found): string {
  return [...runs].flatMap(([mapping, of]) => of.map((run) => runToCsv(scan, mapping, run))).join("");
}

function renderText({ scan, runs, drawings }: Found): string {
  const { pid, name, detector } = scan;
  const title = `${name} (${pid}), Linux ${release()}, detector ${detector}`;
  const parts = [pc.bold(title), "\n"];
  for (const [mapping, of] of runs)
    parts.push(heading(mapping), ...of.map((run) => runLine(mapping, run)), "\n");
  for (const [mapping, drawing] of drawings) parts.push(heading(mapping), drawing, "\n");
  if (drawings.size > 0) parts.push(pageMapLegend(statesShown(scan.totals)), "\n\n");
  parts.push(renderScan(scan), "\n");
  return parts.join("");
}

function heading(mapping: Mapping): string {
  return `${pc.bold(`${hex(mapping.start)} ${mapping.kind} ${printable(mapping.name)}`)}\n`;
}

function runLine({ start }: Mapping, { first, pages, state, flags }: PageRun): string {
  const address = hex(start + first * PAGE_SIZE);
  return `${address} ${String(pages).padStart(8)} ${[state, ...flags].join(" ")}\n`;
}

/** Of a row's address, with what is between. */
const ADDRESS_COLUMNS = 15;
const ROWS_MAX = 16;

function draw({ start }: Mapping, states: Uint8Array): string {
  const layout = { columns: Math.max(16, terminalWidth() - ADDRESS_COLUMNS), rowsMax: ROWS_MAX };
  const perCell = pagesPerCell(states.length, layout);
  const rows = drawPageMap(states, layout).map(
    ({ firstPage, cells }) => `${hex(start + firstPage * PAGE_SIZE)} ${cells}\n`,
  );
  return `${rows.join("")}${pc.dim(`a cell is ${perCell === 1 ? "a page" : `${perCell} pages`}`)}\n`;
}
