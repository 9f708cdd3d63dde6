import type { Detector, DetectorName, Mapping, MappingScan, Target } from "../residency/index.ts";
import { addCounts, noCounts, type StateCounts } from "../residency/page-state.ts";
import { pagesOf } from "../residency/target.ts";

/** What a scan found out about a process. */
export interface ProcessScan {
  readonly pid: number;
  readonly name: string;
  /** When it began. */
  readonly time: Date;
  readonly detector: DetectorName;
  readonly mappings: readonly ScannedMapping[];
  readonly totals: StateCounts;
  /** What changed under our eyes, in sentences; empty if nothing did. */
  readonly changes: readonly string[];
}

/** A mapping, without its pages. */
export interface ScannedMapping {
  readonly mapping: Mapping;
  readonly counts: StateCounts;
  readonly note: string;
}

export interface ScanOptions {
  /** Which mappings to look at. */
  readonly isWanted?: (mapping: Mapping) => boolean;
  /** Called with each mapping when it is scanned: its pages are not kept. */
  readonly onMapping?: (scan: MappingScan) => void;
  /** Called with the pages that are done and all there are. */
  readonly onProgress?: (donePages: number, pages: number) => void;
}

/**
 * Scans a process: lists its mappings, looks at each once, and lists them again to tell what changed meanwhile. Throws a
 * LinuxError ESRCH if it has ended before it was listed.
 */
export function scanProcess(
  target: Target,
  detector: Detector,
  { isWanted = () => true, onMapping, onProgress }: ScanOptions = {},
): ProcessScan {
  const time = new Date();
  const wanted = target.mappings().filter(isWanted);
  const pages = wanted.reduce((sum, mapping) => sum + pagesOf(mapping), 0);
  const totals = noCounts();
  const scanned: ScannedMapping[] = [];
  let donePages = 0;
  for (const mapping of wanted) {
    const scan = detector.scan(mapping);
    addCounts(totals, scan.counts);
    scanned.push({ mapping, counts: scan.counts, note: scan.note });
    onMapping?.(scan);
    donePages += pagesOf(mapping);
    onProgress?.(donePages, pages);
  }
  const { mappings, changes } = compare(scanned, listAgain(target)?.filter(isWanted));
  return { pid: target.pid, name: target.name, time, detector: detector.name, mappings, totals, changes };
}

/** undefined: the process has ended. */
function listAgain(target: Target): Mapping[] | undefined {
  try {
    const mappings = target.mappings();
    return mappings.length > 0 ? mappings : undefined;
  } catch {
    return undefined;
  }
}

const GONE = "unmapped, moved or resized while the process was scanned";

/** Notes what is not as it was. */
function compare(
  scanned: readonly ScannedMapping[],
  now: readonly Mapping[] | undefined,
): Pick<ProcessScan, "mappings" | "changes"> {
  if (now === undefined) return { mappings: scanned, changes: ["the process ended while it was scanned"] };
  const keysNow = new Set(now.map(keyOf));
  const keysThen = new Set(scanned.map(({ mapping }) => keyOf(mapping)));
  const mappings = scanned.map((one) =>
    keysNow.has(keyOf(one.mapping)) ? one : { ...one, note: one.note === "" ? GONE : `${GONE}; ${one.note}` },
  );
  const gone = scanned.filter(({ mapping }) => !keysNow.has(keyOf(mapping))).length;
  const come = now.filter((mapping) => !keysThen.has(keyOf(mapping))).length;
  const changes: string[] = [];
  if (gone > 0) changes.push(`${counted(gone, "mapping")} changed while the process was scanned`);
  if (come > 0)
    changes.push(
      `${counted(come, "mapping")} came up meanwhile and ${come === 1 ? "is" : "are"} not told of`,
    );
  return { mappings, changes };
}

function keyOf({ start, end, objectId, objectFirstPage }: Mapping): string {
  return `${start}-${end} ${objectId} ${objectFirstPage}`;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
