/** All mappings of a process, each read once. */

import { type Detector, type DetectorName, type MappingScan, Notes } from "./detector.ts";
import { ExactDetector } from "./exact-detector.ts";
import { MarkerDetector } from "./marker-detector.ts";
import { PageCacheDetector } from "./page-cache-detector.ts";
import { addCounts, noCounts, type StateCounts } from "./page-state.ts";
import { PagemapDetector } from "./pagemap-detector.ts";
import { type Mapping, mappingKey, pagesOf, type Target } from "./target.ts";

export const DETECTORS: readonly DetectorName[] = ["exact", "page-cache", "marker", "pagemap"];

export function createDetector(name: DetectorName, target: Target): Detector {
  switch (name) {
    case "exact":
      return new ExactDetector(target);
    case "page-cache":
      return new PageCacheDetector(target);
    case "marker":
      return new MarkerDetector(target);
    case "pagemap":
      return new PagemapDetector(target);
  }
}

/** A mapping's answer. */
export interface ScannedMapping {
  readonly mapping: Mapping;
  /**
   * Where its pages are; together, they are all of it, but for untouched parts of a very large private
   * mapping.
   */
  readonly parts: readonly MappingScan[];
  readonly counts: StateCounts;
  readonly note: string;
}

export interface TargetScan {
  readonly pid: number;
  readonly name: string;
  /** What answered: "6.18.44". */
  readonly kernel: string;
  /** When it began. */
  readonly time: Date;
  readonly detector: DetectorName;
  readonly mappings: readonly ScannedMapping[];
  readonly totals: StateCounts;
  /**
   * Mappings that were changed or unmapped while they were read, or the process ended; their answers may be
   * wrong.
   */
  readonly vanished: readonly Mapping[];
}

export interface ScanOptions {
  /** Which mappings; all unless given. */
  readonly choose?: (mapping: Mapping) => boolean;
  /** Called after each mapping: how many pages are done, of how many. */
  readonly onProgress?: (donePages: number, pages: number) => void;
}

/**
 * A private mapping of more pages than that (64 GiB) is mostly a reservation: only where it is populated is
 * it read.
 */
const RESERVATION_PAGES = 2 ** 24;

/**
 * Scans a process. What it throws is the target's (LinuxError ESRCH if the process had ended before); a
 * process that ends meanwhile leaves its mappings `vanished`.
 */
export function scanTarget(
  target: Target,
  detector: Detector,
  { choose = () => true, onProgress }: ScanOptions = {},
): TargetScan {
  const time = new Date();
  const chosen = target.mappings().filter(choose);
  detector.keepOnly?.(chosen);
  const pages = sumOfPages(chosen);
  let donePages = 0;
  const scans = chosen.map((mapping) => {
    const scan = scanMapping(target, detector, mapping);
    onProgress?.((donePages += pagesOf(mapping)), pages);
    return scan;
  });
  const vanished = vanishedOf(target, chosen);
  const totals = noCounts();
  const mappings = scans.map((scan) => {
    addCounts(totals, scan.counts);
    if (!vanished.has(scan.mapping)) return scan;
    return { ...scan, note: withNote(scan.note, "it was changed or unmapped while it was read") };
  });
  const { pid, name, kernel } = target;
  return { pid, name, kernel, time, detector: detector.name, mappings, totals, vanished: [...vanished] };
}

function sumOfPages(mappings: readonly Mapping[]): number {
  return mappings.reduce((sum, mapping) => sum + pagesOf(mapping), 0);
}

function scanMapping(target: Target, detector: Detector, mapping: Mapping): ScannedMapping {
  const isReservation = mapping.kind === "anon" && pagesOf(mapping) > RESERVATION_PAGES;
  const ranges = isReservation ? target.populatedRanges(mapping) : undefined;
  if (ranges === undefined) {
    const part = detector.scan(mapping);
    return { mapping, parts: [part], counts: part.counts, note: part.note };
  }
  const parts = ranges.map(({ start, end }) => detector.scan({ ...mapping, start, end }));
  const counts = noCounts();
  const notes = new Notes();
  let pages = 0;
  for (const part of parts) {
    addCounts(counts, part.counts);
    notes.add(part.note);
    pages += part.states.length;
  }
  counts.hole += pagesOf(mapping) - pages;
  return { mapping, parts, counts, note: notes.toString() };
}

/** The mappings that are not there any more as they were. */
function vanishedOf(target: Target, mappings: readonly Mapping[]): Set<Mapping> {
  let left: Set<string>;
  try {
    left = new Set(target.mappings().map(mappingKey));
  } catch {
    left = new Set(); // the process has ended
  }
  return new Set(mappings.filter((mapping) => !left.has(mappingKey(mapping))));
}

function withNote(note: string, addition: string): string {
  return note === "" ? addition : `${note}; ${addition}`;
}
