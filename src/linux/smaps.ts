/**
 * `/proc/PID/smaps` and `smaps_rollup`: how much of each mapping, and of all, is where.
 * Source: `Documentation/filesystems/proc.rst` (6.18).
 */

import { type MapsEntry, parseMapsLine } from "./maps.ts";
import { readProcFile } from "./procfs.ts";

/** A mapping, with what the kernel counts in it. */
export interface SmapsEntry extends MapsEntry {
  /**
   * By the kernel's name, in bytes: "Rss", "Pss", "Swap". Of shared memory, Swap counts what the object has
   * in swap in this range, whoever put it there, and SwapPss counts nothing. THPeligible and ProtectionKey
   * are no bytes.
   */
  readonly fields: Readonly<Record<string, number>>;
  /**
   * Two letters each: "sh" shared, "ht" hugetlb, "uw" registered for userfaultfd write-protection, "ss"
   * shadow stack.
   */
  readonly vmFlags: ReadonlySet<string>;
}

/** Throws a LinuxError: ESRCH if there is no such process, EACCES without ptrace read access. */
export function readSmaps(pid: number): SmapsEntry[] {
  return parseSmaps(readProcFile(pid, "smaps"));
}

export function parseSmaps(text: string): SmapsEntry[] {
  const entries: SmapsEntry[] = [];
  let fields: Record<string, number> = {};
  let vmFlags = new Set<string>();
  for (const line of text.split("\n")) {
    const mapping = parseMapsLine(line);
    if (mapping) {
      fields = {};
      vmFlags = new Set();
      entries.push({ ...mapping, fields, vmFlags });
    } else if (line.startsWith("VmFlags:")) {
      for (const flag of line.slice("VmFlags:".length).trim().split(" ")) vmFlags.add(flag);
    } else {
      addField(fields, line);
    }
  }
  return entries;
}

/** The sums over all mappings, in bytes, by the kernel's name. */
export function readSmapsRollup(pid: number): Readonly<Record<string, number>> {
  const fields: Record<string, number> = {};
  for (const line of readProcFile(pid, "smaps_rollup").split("\n")) addField(fields, line);
  return fields;
}

function addField(fields: Record<string, number>, line: string): void {
  const match = /^(\w+): +(\d+)( kB)?$/.exec(line);
  if (match) fields[match[1]] = Number(match[2]) * (match[3] === undefined ? 1 : 1024);
}
