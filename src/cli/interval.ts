import { InputError } from "./errors.ts";

const SHORTEST_S = 0.05;
const LONGEST_S = 86_400;

/** Seconds, from an option's text. */
export function parseInterval(text: string): number {
  const seconds = Number(text);
  if (text.trim() !== "" && seconds >= SHORTEST_S && seconds <= LONGEST_S) return seconds;
  throw new InputError(`--interval ${text}: give seconds, from ${SHORTEST_S} to ${LONGEST_S}`);
}
