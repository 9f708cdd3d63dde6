/** Settings of the machine (sysctls, attributes of sysfs) that are changed for a while. */

import { readAttribute, writeAttribute } from "./attribute.ts";
import { type Guard, quoted } from "./guard.ts";

/** The value of a setting; of one that lists its choices ("always [madvise] never"), the chosen one. */
export function readSetting(path: string): string {
  const text = readAttribute(path);
  return /\[(.+)\]/.exec(text)?.[1] ?? text;
}

/** Gives a setting another value; the guard gives the old one back. */
export function holdSetting(
  guard: Guard,
  { path, value }: { readonly path: string; readonly value: string },
): void {
  const before = readSetting(path);
  if (before === value) return;
  guard.add(`echo ${quoted(before)} > ${quoted(path)}`);
  writeAttribute(path, value, "root (CAP_SYS_ADMIN)");
}
