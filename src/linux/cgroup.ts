/**
 * A memory cgroup of our own, of version 1 or 2, whichever has the memory controller. Limits and reclaim page
 * out whatever is charged to it, no matter how many processes map it (`madvise` takes only pages of a single
 * mapper); but memory is charged to the cgroup that touches it first, so a process belongs in before it
 * starts to work. Source: `Documentation/admin-guide/cgroup-v1/memory.rst`, `cgroup-v2.rst` (6.18).
 */

import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { readAttribute, writeAttribute } from "./attribute.ts";
import { Guard, quoted, retried } from "./guard.ts";
import { fromNodeError, LinuxError } from "./linux-error.ts";

/** Where the memory controller is. */
export interface MemoryHierarchy {
  readonly version: 1 | 2;
  readonly path: string;
}

/** Reclaim that leaves as much as it found has had its chances. */
const FRUITLESS_ROUNDS = 3;

const FILES = {
  1: { usage: "memory.usage_in_bytes", limit: "memory.limit_in_bytes", unlimited: "-1" },
  2: { usage: "memory.current", limit: "memory.max", unlimited: "max" },
} as const;

/** Finds the memory controller in the text of /proc/PID/mountinfo; undefined if it is not mounted. */
export function findMemoryHierarchy(mountinfo: string): MemoryHierarchy | undefined {
  for (const line of mountinfo.split("\n")) {
    const [place, source] = line.split(" - ");
    if (source === undefined) continue;
    const path = place.split(" ")[4].replaceAll("\\040", " ");
    const [type, , options] = source.split(" ");
    if (type === "cgroup" && options.split(",").includes("memory")) return { version: 1, path };
    if (type === "cgroup2" && controllersOf(path).includes("memory")) return { version: 2, path };
  }
  return undefined;
}

function controllersOf(path: string): string[] {
  const file = join(path, "cgroup.controllers");
  return existsSync(file) ? readAttribute(file).split(" ") : [];
}

export class MemoryCgroup implements Disposable {
  readonly path: string;
  readonly version: 1 | 2;
  /** Removes the cgroup. What must be undone before (its processes ended, say) is added here. */
  readonly guard: Guard;

  private constructor(path: string, version: 1 | 2, guard: Guard) {
    this.path = path;
    this.version = version;
    this.guard = guard;
    const procs = join(path, "cgroup.procs");
    const parentProcs = join(dirname(path), "cgroup.procs");
    const move = `while read -r pid; do echo $pid > ${quoted(parentProcs)}; done < ${quoted(procs)}`;
    guard.add(`if [ -d ${quoted(path)} ]; then ${retried(`${move}; rmdir ${quoted(path)}`)}; fi`);
  }

  /** What is missing on this machine; undefined if a cgroup can be made by root. */
  static obstacle(): string | undefined {
    if (findMemoryHierarchy(readFileSync("/proc/self/mountinfo", "utf8")) !== undefined) return undefined;
    return "a mounted cgroup hierarchy with the memory controller";
  }

  /**
   * Makes a cgroup at the top, its name beginning with `prefix`.
   * Throws a {@link LinuxError} for want of privilege or of the memory controller.
   */
  static create(prefix: string, hierarchy?: MemoryHierarchy): MemoryCgroup {
    const found = hierarchy ?? findMemoryHierarchy(readFileSync("/proc/self/mountinfo", "utf8"));
    if (found === undefined)
      throw new LinuxError({ call: "memory cgroup", needs: MemoryCgroup.obstacle() ?? "" });
    const { version, path: top } = found;
    if (version === 2) {
      writeAttribute(
        join(top, "cgroup.subtree_control"),
        "+memory",
        `root, and no process directly in ${top}`,
      );
    }
    const guard = Guard.start();
    try {
      return new MemoryCgroup(makeFolder(top, prefix), version, guard);
    } catch (error) {
      guard[Symbol.dispose]();
      throw error;
    }
  }

  /** Moves a process (a thread group) in. */
  add(pid: number): void {
    writeAttribute(join(this.path, "cgroup.procs"), pid, `a running process ${pid}, and root`);
  }

  /**
   * Does something with this process in the cgroup, so that pages which it touches first are charged there,
   * and stay so when the process is back where it was.
   */
  chargeHere(work: () => void): void {
    const home = homeOf(this.version);
    this.add(process.pid);
    try {
      work();
    } finally {
      writeAttribute(join(dirname(this.path), home, "cgroup.procs"), process.pid);
    }
  }

  /**
   * undefined: no limit. A limit below what is used pages out first; what can't be paged out is EBUSY or an
   * OOM kill.
   */
  setLimit(bytes: number | undefined): void {
    const { limit, unlimited } = FILES[this.version];
    writeAttribute(join(this.path, limit), bytes ?? unlimited);
  }

  /** What is charged now, bytes; rounded up by what each CPU keeps ready. */
  usageBytes(): number {
    return Number(readAttribute(join(this.path, FILES[this.version].usage)));
  }

  /** Pages out what can be, until usage no longer falls; returns what is left, bytes. */
  reclaimAll(): number {
    let usage = this.usageBytes();
    for (let fruitless = 0; usage > 0 && fruitless < FRUITLESS_ROUNDS; ) {
      this.#reclaim(usage);
      const now = this.usageBytes();
      fruitless = now < usage ? 0 : fruitless + 1;
      usage = Math.min(usage, now);
    }
    return this.usageBytes();
  }

  #reclaim(bytes: number): void {
    if (this.version === 1) {
      writeAttribute(join(this.path, "memory.force_empty"), 0);
      return;
    }
    const needs = "Linux 5.19 or newer (memory.reclaim)";
    try {
      writeAttribute(join(this.path, "memory.reclaim"), bytes, needs);
    } catch (error) {
      // Less was reclaimed than asked for.
      if ((error as LinuxError).code !== "EAGAIN") throw error;
    }
  }

  /** Moves the processes that are left one level up, and removes the cgroup. */
  [Symbol.dispose](): void {
    this.guard[Symbol.dispose]();
  }
}

/** Where this process is in the hierarchy of the memory controller: "/" at the top. */
function homeOf(version: 1 | 2): string {
  const lines = readFileSync("/proc/self/cgroup", "utf8").split("\n");
  const isIt = version === 2 ? /^0::/ : /^\d+:([^:]*,)?memory(,[^:]*)?:/;
  return lines.find((line) => isIt.test(line))?.replace(isIt, "") ?? "/";
}

function makeFolder(top: string, prefix: string): string {
  try {
    return mkdtempSync(join(top, `${prefix}-`));
  } catch (error) {
    throw fromNodeError(error, `mkdir in ${top}`, "root");
  }
}
