import { basename } from "node:path";
import process from "node:process";
import type { LinuxError } from "../linux/linux-error.ts";
import { commandLine, isKernelThread, listPids, processName } from "../linux/procfs.ts";
import { readStatus, readThreadStatuses } from "../linux/status.ts";
import { InputError } from "./errors.ts";
import { printable } from "./scan-words.ts";

/** The kernel keeps so many bytes of a process's name. */
const NAME_MAX = 15;
const TITLE_MAX = 72;

/** The processes that arguments mean, each once: a pid, or all processes of a name, but for ourselves. */
export function pidsOf(processes: readonly string[]): number[] {
  return [...new Set(processes.flatMap(pidsOfOne))];
}

/** The one process that an argument means. */
export function onePidOf(argument: string): number {
  const pids = pidsOfOne(argument);
  if (pids.length === 1) return pids[0];
  const list = pids.map((pid) => `  ${pid}  ${titleOf(pid)}`);
  throw new InputError(
    `${pids.length} processes are named "${argument}"; give the pid of one:\n${list.join("\n")}`,
  );
}

function pidsOfOne(argument: string): number[] {
  if (/^[1-9]\d*$/.test(argument)) return [Number(argument)];
  const pids = listPids().filter((pid) => pid !== process.pid && isNamed(pid, argument));
  if (pids.length > 0) return pids;
  throw new InputError(`there is no process "${argument}"; give a pid, or the name of a program that runs`);
}

/** What tells it from others of its name: the beginning of its command line. */
function titleOf(pid: number): string {
  return printable(commandLine(pid).join(" ")).trim().slice(0, TITLE_MAX);
}

/** By the name that ps shows, or by that of the program which it was started as. */
function isNamed(pid: number, name: string): boolean {
  try {
    return processName(pid) === name.slice(0, NAME_MAX) || basename(commandLine(pid)[0] ?? "") === name;
  } catch (error) {
    if ((error as LinuxError).code === "ESRCH") return false; // ended since it was listed
    throw error;
  }
}

/**
 * Throws for a process that has no memory to look at: a LinuxError ESRCH if there is none, or an InputError.
 */
export function refuseWithoutMemory(pid: number): void {
  const name = processName(pid);
  const { State = "", VmSize } = readStatus(pid);
  const who = `process ${pid} (${name})`;
  if (isKernelThread(pid))
    throw new InputError(`${who} is a thread of the kernel: it has no memory of its own`);
  if (VmSize !== undefined) return;
  // Of a process whose first thread has ended, /proc shows the memory in the others' folders only.
  const living = [...readThreadStatuses(pid)].find(([, status]) => status.VmSize !== undefined)?.[0];
  if (living !== undefined) {
    throw new InputError(`the first thread of ${who} has ended; give another's id, such as ${living}`);
  }
  throw new InputError(`${who} has ended, and only its parent's wait is left: ${State}`);
}

/** Whether there is a process that has memory to look at. */
export function hasMemory(pid: number): boolean {
  try {
    refuseWithoutMemory(pid);
    return true;
  } catch {
    return false;
  }
}
