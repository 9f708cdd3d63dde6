/**
 * `/proc`: how its files are read and what their errors mean, which processes there are, counters of the
 * machine. Source: `Documentation/filesystems/proc.rst`, proc_pid_stat(5) (6.18).
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fromNodeError, LinuxError } from "./linux-error.ts";

/** What it takes to look into another process (`PTRACE_MODE_READ_FSCREDS`, ptrace(2)). */
export const PTRACE_READ_NEEDS =
  "ptrace read access (be root, have CAP_SYS_PTRACE, or be the same user as a process that is dumpable)";

/**
 * What a failure of node:fs on a file of a process means. A process that has ended is ESRCH, wherever it was
 * noticed. `needs` tells for an error's code what is missing, where it is not the usual.
 */
export function procError(
  error: unknown,
  pid: number,
  path: string,
  needs: Readonly<Record<string, string>> = {},
): LinuxError {
  const { code = "" } = error as NodeJS.ErrnoException;
  const call = `read ${path}`;
  if (code === "ESRCH" || (code === "ENOENT" && !existsSync(`/proc/${pid}`))) return noSuchProcess(pid, call);
  if (code in needs) return fromNodeError(error, call, needs[code]);
  if (code === "ENOENT") return fromNodeError(error, call, "this kernel has no such file");
  if (code === "EACCES" || code === "EPERM") return fromNodeError(error, call, PTRACE_READ_NEEDS);
  return fromNodeError(error, call);
}

/** There is no process with this pid, or no longer. */
export function noSuchProcess(pid: number, call: string): LinuxError {
  return new LinuxError({ code: "ESRCH", call, needs: `there is no process ${pid} (any more)` });
}

/**
 * The text of `/proc/PID/FILE`. Throws a {@link LinuxError}: ESRCH if the process has ended, EACCES without
 * access.
 */
export function readProcFile(pid: number, file: string): string {
  const path = `/proc/${pid}/${file}`;
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw procError(error, pid, path);
  }
}

/** The processes of this pid namespace, in order. */
export function listPids(): number[] {
  return numericNames("/proc");
}

/** The threads of a process, in order. */
export function listThreads(pid: number): number[] {
  const path = `/proc/${pid}/task`;
  try {
    return numericNames(path);
  } catch (error) {
    throw procError(error, pid, path);
  }
}

function numericNames(folder: string): number[] {
  return readdirSync(folder)
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
}

/** The process's name: at most 15 bytes, what `ps -o comm` shows. */
export function processName(pid: number): string {
  return readProcFile(pid, "comm").replace(/\n$/, "");
}

/** The process's arguments, its own path first; none of a kernel thread or a zombie. */
export function commandLine(pid: number): string[] {
  return readProcFile(pid, "cmdline").split("\0").slice(0, -1);
}

/**
 * When the process started, clock ticks since boot: with the pid, it tells a process from one that came
 * after.
 */
export function processStartTime(pid: number): number {
  return Number(statFields(readProcFile(pid, "stat"))[22 - 3]);
}

const PF_KTHREAD = 0x20_0000;

/** A thread of the kernel: it has no memory of its own. */
export function isKernelThread(pid: number): boolean {
  return (Number(statFields(readProcFile(pid, "stat"))[9 - 3]) & PF_KTHREAD) !== 0;
}

/** The fields of `/proc/PID/stat` from the third on: the second, the name, may hold spaces and brackets. */
export function statFields(text: string): string[] {
  return text
    .slice(text.lastIndexOf(")") + 2)
    .trimEnd()
    .split(" ");
}

/** `/proc/vmstat`: the machine's counters by name, pages or events. */
export function readVmstat(): Record<string, number> {
  return parseCounters(readFileSync("/proc/vmstat", "utf8"));
}

/** Lines of a name and a number. */
export function parseCounters(text: string): Record<string, number> {
  const counters: Record<string, number> = {};
  for (const line of text.split("\n")) {
    const space = line.indexOf(" ");
    if (space > 0) counters[line.slice(0, space)] = Number(line.slice(space + 1));
  }
  return counters;
}

/** A swap area in use. */
export interface SwapArea {
  /** The device or file; " (deleted)" is left off. */
  readonly path: string;
  readonly type: "partition" | "file";
  readonly sizeBytes: number;
  readonly usedBytes: number;
  readonly priority: number;
}

/** `/proc/swaps`: where this machine swaps to. */
export function readSwaps(): SwapArea[] {
  return parseSwaps(readFileSync("/proc/swaps", "utf8"));
}

export function parseSwaps(text: string): SwapArea[] {
  const areas: SwapArea[] = [];
  for (const line of text.split("\n").slice(1)) {
    const match = /^(.+?)\s+(partition|file)\s+(\d+)\s+(\d+)\s+(-?\d+)$/.exec(line);
    if (!match) continue;
    const [, path, type, sizeKb, usedKb, priority] = match;
    areas.push({
      path: unescapeOctal(path).replace(/ \(deleted\)$/, ""),
      type: type as SwapArea["type"],
      sizeBytes: Number(sizeKb) * 1024,
      usedBytes: Number(usedKb) * 1024,
      priority: Number(priority),
    });
  }
  return areas;
}

/** Undoes what the kernel does to spaces, newlines and the like in paths: `\040` for a space. */
export function unescapeOctal(text: string): string {
  return text.includes("\\")
    ? text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
    : text;
}
