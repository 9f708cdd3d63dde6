import { freemem } from "node:os";
import { InputError } from "./errors.ts";

/** Ranges of all configurations at once, what they have in swap, and as much again to be measured. */
const TIMES_SIZE = 7;
const PAGE_BYTES = 4096;

/** Stops before starting what does not fit in memory: throws an {@link InputError} with the estimate. */
export function checkRoom(option: string, sizePages: number): void {
  const gibibytes = (bytes: number): string => (bytes / 2 ** 30).toFixed(1);
  const neededBytes = sizePages * PAGE_BYTES * TIMES_SIZE;
  if (neededBytes <= freemem()) return;
  throw new InputError(
    `${option}: it takes about ${gibibytes(neededBytes)} GiB of memory, and ${gibibytes(freemem())} GiB are free`,
  );
}
