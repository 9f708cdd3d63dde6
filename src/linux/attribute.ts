/** Attributes: the one-value files of sysfs and cgroupfs. */

import { readFileSync, writeFileSync } from "node:fs";
import { fromNodeError } from "./linux-error.ts";

export function readAttribute(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    throw fromNodeError(error, `read ${path}`);
  }
}

/** `needs` tells what is missing when the kernel refuses. */
export function writeAttribute(path: string, value: string | number, needs = ""): void {
  try {
    writeFileSync(path, String(value));
  } catch (error) {
    throw fromNodeError(error, `write ${value} to ${path}`, needs);
  }
}
