import type { Mapping } from "../residency/target.ts";
import { InputError } from "./errors.ts";
import { hex } from "./scan-words.ts";

/** Which mappings an option's regular expression chooses: by address, kind and name. */
export function mappingFilter(pattern: string | undefined): (mapping: Mapping) => boolean {
  if (pattern === undefined) return () => true;
  let regexp: RegExp;
  try {
    regexp = new RegExp(pattern);
  } catch (error) {
    throw new InputError(`--mapping ${pattern}: ${(error as Error).message}`);
  }
  return ({ start, kind, name }) => regexp.test(`${hex(start)} ${kind} ${name}`);
}
