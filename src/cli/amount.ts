/** Numbers as people read them. */

import { PAGE_SIZE } from "../abi/mman.ts";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** A number of pages as bytes, three digits: "0 B", "64.0 KiB", "273 MiB". Fractions of a page may be rates. */
export function formatPages(pages: number): string {
  const [digits, unit] = scaled(pages);
  return `${digits} ${unit}`;
}

/** The same in a table: "0B", "64.0K", "273M". */
export function formatShort(pages: number): string {
  const [digits, unit] = scaled(pages);
  return `${digits}${unit[0]}`;
}

function scaled(pages: number): [digits: string, unit: string] {
  let amount = pages * PAGE_SIZE;
  let unit = 0;
  // 999.5 would be shown with four digits.
  for (; amount >= 999.5 && unit < UNITS.length - 1; unit++) amount /= 1024;
  const decimals = unit === 0 || amount >= 99.95 ? 0 : amount >= 9.995 ? 1 : 2;
  return [amount.toFixed(decimals), UNITS[unit]];
}

/** Seconds: "0.5 s", "90 s", "4 min". */
export function formatSeconds(seconds: number): string {
  if (seconds < 100) return `${Number(seconds.toFixed(1))} s`;
  return seconds < 6000 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}
