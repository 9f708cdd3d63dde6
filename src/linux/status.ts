/** `/proc/PID/status`. Source: `Documentation/filesystems/proc.rst`, proc_pid_status(5) (6.18). */

import { LinuxError } from "./linux-error.ts";
import { listThreads, readProcFile } from "./procfs.ts";

/**
 * The fields by the kernel's name, as it writes them: "VmSwap" is "0 kB". Which there are, depends on kernel
 * and process.
 */
export type ProcessStatus = Readonly<Record<string, string | undefined>>;

/** Throws a LinuxError: ESRCH if there is no such process. Anyone may read it. */
export function readStatus(pid: number): ProcessStatus {
  return parseStatus(readProcFile(pid, "status"));
}

/** The status of each of its threads, by id; of those that end meanwhile there is none. */
export function readThreadStatuses(pid: number): Map<number, ProcessStatus> {
  const statuses = new Map<number, ProcessStatus>();
  for (const tid of listThreads(pid)) {
    try {
      statuses.set(tid, parseStatus(readProcFile(pid, `task/${tid}/status`)));
    } catch (error) {
      if (!(error instanceof LinuxError && ["ESRCH", "ENOENT"].includes(error.code))) throw error;
    }
  }
  return statuses;
}

export function parseStatus(text: string): ProcessStatus {
  const fields: Record<string, string> = {};
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).trim();
  }
  return fields;
}

/** A field in kB, in bytes; undefined if there is none (a zombie and a kernel thread have no memory). */
export function statusBytes(status: ProcessStatus, field: string): number | undefined {
  const match = /^(\d+) kB$/.exec(status[field] ?? "");
  return match ? Number(match[1]) * 1024 : undefined;
}

/** Capability numbers. Source: `include/uapi/linux/capability.h` (6.18). */
export const CAP = {
  FOWNER: 3,
  SYS_PTRACE: 19,
  SYS_ADMIN: 21,
  SYS_NICE: 23,
  SYS_RESOURCE: 24,
  CHECKPOINT_RESTORE: 40,
} as const;

export type Capability = keyof typeof CAP;

/** Whether a process has a capability in effect, in its own user namespace. */
export function hasCapability(status: ProcessStatus, capability: Capability): boolean {
  const effective = BigInt(`0x${status.CapEff ?? "0"}`);
  return ((effective >> BigInt(CAP[capability])) & 1n) === 1n;
}
