/** The words and numbers that scan and its kin print, whatever the format. */

import type { PageState } from "../residency/page-state.ts";
import type { PageRun } from "../residency/report.ts";

/** The order of columns: from near to far. */
export const STATE_COLUMNS: readonly PageState[] = [
  "present",
  "cached",
  "swap-cached",
  "swapped",
  "hole",
  "reserved",
  "on-disk",
  "unknown",
];

/** What is said of a run besides its state. */
export function flagsOf({ isArmed, isMarked, isStale, isWritten }: PageRun): string[] {
  const flags: string[] = [];
  if (isArmed) flags.push("armed");
  if (isMarked) flags.push("marked");
  if (isStale) flags.push("stale");
  if (isWritten) flags.push("written");
  return flags;
}

export function hex(address: number): string {
  return `0x${address.toString(16)}`;
}

/** Without control characters, which would draw on the terminal. */
export function printable(name: string): string {
  return name.replace(/\p{C}/gu, "?");
}

/** The end of a text that is too long: of a path it tells more than the beginning. */
export function fitEnd(text: string, width: number): string {
  return text.length <= width ? text : `…${text.slice(text.length - width + 1)}`;
}

/** "1 object", "2 objects". */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
