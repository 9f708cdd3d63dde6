/** Numbers as people read them; the same everywhere in a page. */

import type { Ratio } from "./statistics.ts";

/** A whole number with its thousands apart. */
export function whole(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ",");
}

/** About four significant digits; no more than the value needs. */
export function number(value: number): string {
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return whole(value);
  const digits = Math.abs(value) >= 100 ? 1 : Math.abs(value) >= 1 ? 2 : 3;
  return value.toFixed(digits).replace(/\.?0+$/, "");
}

/** A share of a whole: 0.5 is "50 %". */
export function percent(share: number, digits = 2): string {
  return `${(share * 100).toFixed(digits)} %`;
}

/** A change: 1.008 is "+0.80 %". */
export function change(ratio: number): string {
  const rounded = ((ratio - 1) * 100).toFixed(2);
  return `${ratio >= 1 ? "+" : ""}${rounded === "-0.00" ? "0.00" : rounded} %`;
}

/** A change with its 95 % interval. */
export function changeWithInterval({ ratio, low, high }: Ratio): string {
  return `${change(ratio)} [${change(low)}, ${change(high)}]`;
}

/** How many times: "2.54". */
export function times(ratio: number): string {
  return ratio.toFixed(2);
}

/** A size in the largest unit that divides it. */
export function size(bytes: number): string {
  const [divisor, unit] =
    bytes % 2 ** 30 === 0 ? [2 ** 30, "GiB"] : bytes % 2 ** 20 === 0 ? [2 ** 20, "MiB"] : [2 ** 10, "KiB"];
  return `${number(bytes / divisor)} ${unit}`;
}
