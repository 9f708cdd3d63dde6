/** What is said before a process is attached to. */

import process from "node:process";
import { capabilities, LinuxError } from "../linux/index.ts";
import { isSharedMemory, LinuxTarget, type Mapping } from "../residency/index.ts";
import { planLines } from "./attach-text.ts";
import { InputError } from "./errors.ts";

/** Says what will be done, and refuses what can't be, before anything is. */
export function announceAttach(pid: number, isWanted: (mapping: Mapping) => boolean): void {
  const { findings } = capabilities();
  const missing = findings.filter(({ available, neededFor }) => !available && neededFor !== undefined);
  if (missing.length > 0) {
    const wants = missing.map(({ name, reason, remedy }) => `${name}: ${reason} (to get it: ${remedy})`);
    throw new LinuxError({ call: `attach to process ${pid}`, needs: wants.join("; ") });
  }
  const limits = findings.filter(({ available, limits }) => !available && limits === "attaching");
  const warnings = limits.map(({ reason, cost }) => `${reason}:\n  ${cost}`);
  using target = LinuxTarget.open(pid);
  const shared = target.mappings().filter(isSharedMemory);
  const mappings = shared.filter(isWanted);
  if (mappings.length === 0) {
    throw new InputError(
      shared.length === 0
        ? `process ${pid} (${target.name}) has no shared memory to attach to`
        : `none of the ${shared.length} mappings of shared memory of process ${pid} (${target.name}) matches --mapping`,
    );
  }
  tellPeople(planLines(target, mappings, warnings));
}

/** What is for people only. */
export function tellPeople(lines: readonly string[]): void {
  process.stderr.write(lines.map((line) => `${line}\n`).join(""));
}
