/** `ptemark scan --all`. */

import { release } from "node:os";
import process from "node:process";
import pc from "picocolors";
import { readSwaps } from "../linux/procfs.ts";
import {
  type Holder,
  type MachineOverview,
  pagesInSwap,
  type SharedObject,
  takeOverview,
} from "../residency/machine-overview.ts";
import type { PageState } from "../residency/page-state.ts";
import type { Mapping } from "../residency/target.ts";
import { EXIT } from "./errors.ts";
import { Progress } from "./progress.ts";
import { csvLine } from "./scan-csv.ts";
import { columnsOf, Footnotes, grouped, inColumn, kib } from "./scan-table.ts";
import { counted, printable, STATE_COLUMNS } from "./scan-words.ts";

/** An object as a whole is present nowhere, and it is not on a disk. */
const COLUMNS: readonly PageState[] = ["cached", "swap-cached", "swapped", "hole", "reserved", "unknown"];

export function showOverview(
  { json, csv }: { readonly json?: boolean; readonly csv?: boolean },
  isWanted: (mapping: Mapping) => boolean,
): void {
  const time = new Date();
  let progress: Progress | undefined;
  let overview: MachineOverview;
  try {
    overview = takeOverview({
      isWanted,
      onProgress(done, processes) {
        progress ??= new Progress(processes);
        progress.update(done, "processes");
      },
    });
  } finally {
    progress?.stop();
  }
  const render = json ? toJson : csv ? toCsv : toText;
  process.stdout.write(render(overview, time));
  if (overview.refused > 0) {
    process.stderr.write(
      `ptemark: processes that may not be looked at (that takes ptrace read access): ${overview.refused}\n`,
    );
  }
  if (overview.processes === 0) process.exitCode = EXIT.NOT_POSSIBLE;
  else if (overview.refused > 0 || overview.totals.unknown > 0) process.exitCode = EXIT.FOUND;
}

function toJson({ objects, totals, processes, refused }: MachineOverview, time: Date): string {
  return `${JSON.stringify({
    kernel: release(),
    time: time.toISOString(),
    processes,
    refused,
    objects: objects.map(({ id, name, pages, counts, holders, note }) => ({
      id,
      object: name,
      pages,
      states: counts,
      holders,
      note,
    })),
    totals,
  })}\n`;
}

function toCsv({ objects }: MachineOverview): string {
  const header = csvLine(["id", "object", "pages", ...STATE_COLUMNS, "holders", "note"]);
  const lines = objects.map(({ id, name, pages, counts, holders, note }) =>
    csvLine([
      id,
      name,
      pages,
      ...STATE_COLUMNS.map((state) => counts[state]),
      holders.map(({ pid }) => pid).join(" "),
      note,
    ]),
  );
  return `${header}${lines.join("")}`;
}

function toText({ objects, totals, processes }: MachineOverview): string {
  const swapped = objects.filter(({ counts }) => pagesInSwap(counts) > 0 || counts.unknown > 0);
  const others = objects.filter((object) => !swapped.includes(object));
  const columns = COLUMNS.filter((state) => totals[state] > 0 || state === "swapped" || state === "cached");
  const notes = new Footnotes();
  const header = ["size", ...columns, "object", "mapped by"].map((title) => pc.bold(title));
  const rows = swapped.map((object) => row(object, columns, notes));
  const title = `Shared memory of ${processes} processes, Linux ${release()}, KiB`;
  const table =
    rows.length > 0 ? columnsOf([header, ...rows], new Set([columns.length + 1, columns.length + 2])) : "";
  return [
    pc.bold(title),
    "\n",
    table,
    notes.render(),
    `In swap: ${kibOr0(pagesInSwap(totals))} of shared memory in `,
    `${counted(swapped.length, "object")}, each counted once`,
    `${describeSwaps()}.\n`,
    others.length > 0
      ? `${counted(others.length, "other object")} with nothing in swap: ${kibOr0(memoryOf(others))}.\n`
      : "",
  ].join("");
}

function row(
  { name, pages, counts, holders, note }: SharedObject,
  columns: readonly PageState[],
  notes: Footnotes,
): string[] {
  const mark = note === "" ? "" : pc.dim(` ${notes.mark(note)}`);
  const cells = columns.map((state) => inColumn(state, counts));
  return [kib(pages), ...cells, `${printable(name)}${mark}`, describeHolders(holders)];
}

const PIDS_SHOWN = 4;

/** By name, with the first pids: "postgres 12 14 15 16 +5, top 99". */
function describeHolders(holders: readonly Holder[]): string {
  const pids = new Map<string, number[]>();
  for (const { name, pid } of holders) pids.set(name, [...(pids.get(name) ?? []), pid]);
  return [...pids]
    .map(([name, of]) => {
      const more = of.length > PIDS_SHOWN ? ` +${of.length - PIDS_SHOWN}` : "";
      return `${printable(name)} ${of.slice(0, PIDS_SHOWN).join(" ")}${more}`;
    })
    .join(", ");
}

function describeSwaps(): string {
  const areas = readSwaps();
  if (areas.length === 0) return "; this machine has no swap";
  const usedBytes = areas.reduce((sum, area) => sum + area.usedBytes, 0);
  return `; swap has ${grouped(usedBytes / 1024)} KiB in use`;
}

function memoryOf(objects: readonly SharedObject[]): number {
  return objects.reduce((sum, { counts }) => sum + counts.cached, 0);
}

function kibOr0(pages: number): string {
  return `${pages === 0 ? "0" : kib(pages)} KiB`;
}
