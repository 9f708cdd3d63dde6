/** The threads of a process: which of them may be made to do a system call, and which is best. */

import { interruptionRank } from "./interrupted-call.ts";
import { LinuxError } from "./linux-error.ts";
import type { MapsEntry } from "./maps.ts";
import { listThreads, readProcFile } from "./procfs.ts";
import { type ProcessStatus, parseStatus } from "./status.ts";

export interface ThreadRules {
  /** Make the system call in a thread that filters its system calls (seccomp) too: the filter may kill it. */
  readonly force?: boolean;
}

/** Why a thread can't be used, by its `/proc/PID/task/TID/status`; undefined if it can. */
export function threadRefusal(
  status: ProcessStatus,
  { force = false }: ThreadRules = {},
): string | undefined {
  const { State = "", TracerPid = "0", Seccomp = "0", x86_Thread_features: features = "" } = status;
  if (/^[ZX]/.test(State)) return "it has ended (a zombie, which its parent has not waited for)";
  if (TracerPid !== "0") return `process ${TracerPid} traces it: a debugger or strace is at work`;
  if (Seccomp === "1") return "it is under seccomp's strict mode, which kills it for any new system call";
  if (Seccomp !== "0" && !force)
    return "it is under a seccomp filter, which may kill it for a call that is new to it (force tries)";
  if (features.split(/\s+/).includes("shstk"))
    return "it has a shadow stack, which allows no return to an address that was not called from";
  return undefined;
}

/** Beyond this many threads the rest is not looked at: these will do. */
const THREADS_MAX = 64;

export interface ThreadChoice {
  /** Best first: one whose interruption nobody notices, of these the first. */
  readonly threads: readonly number[];
  /** Why others can't be used now; "" if all can. */
  readonly hindrance: string;
  /** One that lives, to ask what all threads share: the first may have ended, and the process goes on. */
  readonly living: number;
}

/**
 * The threads of a process that may be used.
 *
 * @throws {LinuxError} if there is none that ever may; the reason is that of the first thread
 */
export function chooseThreads(pid: number, rules: ThreadRules): ThreadChoice {
  const usable: { tid: number; rank: number }[] = [];
  let living = 0;
  let hindrance = "";
  let refusal = "";
  for (const tid of listThreads(pid).slice(0, THREADS_MAX)) {
    try {
      const status = parseStatus(readProcFile(pid, `task/${tid}/status`));
      const reason = threadRefusal(status, rules);
      if (reason !== undefined) {
        refusal ||= `thread ${tid}: ${reason}`;
        continue;
      }
      living ||= tid;
      if (status.State?.startsWith("D"))
        hindrance ||= `thread ${tid}: it waits for a device or a child of vfork, and can't be stopped now`;
      else usable.push({ tid, rank: rankOf(readProcFile(pid, `task/${tid}/syscall`)) });
    } catch (error) {
      if (!(error instanceof LinuxError && ["ESRCH", "ENOENT"].includes(error.code))) throw error;
      // A thread that has ended meanwhile.
    }
  }
  if (living === 0) throw refused(pid, refusal || "it has ended");
  const threads = usable.sort((a, b) => a.rank - b.rank || a.tid - b.tid).map(({ tid }) => tid);
  return { threads, hindrance, living };
}

/** A process may not be attached to. */
export function refused(pid: number, reason: string): LinuxError {
  return new LinuxError({ call: `attach to process ${pid}`, needs: reason });
}

/**
 * `/proc/PID/task/TID/syscall`: "running", or the call's number (-1: in none) and six arguments, then rsp and
 * rip.
 */
function rankOf(line: string): number {
  const [number, ...words] = line.trim().split(" ");
  if (number === "running" || number === "-1") return interruptionRank(undefined, []);
  return interruptionRank(Number(number), words.slice(0, 6).map(Number));
}

export interface StackOwner {
  readonly stackPointer: number;
  /** Where the thread's own block of memory is, that it finds variables of its own in. */
  readonly fsBase: number;
  readonly isMain: boolean;
}

/**
 * The mapping that a thread has as its stack, if its stack pointer is in it. Programs run code on other
 * stacks too (coroutines, goroutines, alternate signal stacks), and what lies below those is anybody's. A
 * thread's own is the one the kernel made ("[stack]"), or a mapping on a guard that has the thread's
 * control block at its upper end, as every libc makes it.
 */
export function ownStack(maps: readonly MapsEntry[], owner: StackOwner): MapsEntry | undefined {
  const { stackPointer, fsBase, isMain } = owner;
  const index = maps.findIndex(({ start, end }) => stackPointer > start && stackPointer <= end);
  const mapping = maps[index];
  if (mapping === undefined || !mapping.write || mapping.shared) return undefined;
  if (mapping.path === "[stack]") return isMain ? mapping : undefined;
  const below = maps[index - 1];
  const hasGuard = below?.end === mapping.start && !below.read && !below.write && !below.exec;
  const hasControlBlock = fsBase > stackPointer && fsBase < mapping.end;
  return hasGuard && hasControlBlock ? mapping : undefined;
}
