/** What a certain process allows: to be looked at, and to be attached to. Nothing here touches it. */

import { closeSync } from "node:fs";
import process from "node:process";
import { PAGE_IS_GUARD, TASK_SIZE } from "../abi/index.ts";
import { type Finding, missing, type Probe, tryProbe } from "./capabilities.ts";
import { LinuxError } from "./linux-error.ts";
import { readMaps } from "./maps.ts";
import { PagemapFile } from "./pagemap.ts";
import { PagemapScanner } from "./pagemap-scan.ts";
import { Pidfd } from "./pidfd.ts";
import { isKernelThread, PTRACE_READ_NEEDS, processName } from "./procfs.ts";
import { isNativeProgram } from "./program.ts";
import { readSmaps } from "./smaps.ts";
import { hasCapability, type ProcessStatus, readStatus, readThreadStatuses } from "./status.ts";

export interface ProcessCapabilities {
  readonly pid: number;
  readonly name: string;
  readonly findings: readonly Finding[];
}

/**
 * Tries all there is to try of a process, as far as it goes: no more is told of one that has no memory (a
 * zombie, a kernel thread), or that may not be looked at. Throws a LinuxError ESRCH if there is no such
 * process.
 */
export function processCapabilities(pid: number): ProcessCapabilities {
  const name = processName(pid);
  const findings: Finding[] = [];
  for (const probes of [[memoryProbe(pid)], lookingProbes(pid), attachingProbes(pid)]) {
    findings.push(...probes.map(tryProbe));
    if (findings.some(({ available, neededFor }) => neededFor === "looking" && !available)) break;
  }
  return { pid, name, findings };
}

function memoryProbe(pid: number): Probe {
  return {
    name: "memory",
    neededFor: "looking",
    cost: "there is nothing to look at",
    remedy: "",
    look() {
      if (isKernelThread(pid)) throw missing("it is a thread of the kernel");
      const { State = "", VmSize } = readStatus(pid);
      if (State.startsWith("Z") || VmSize === undefined) throw missing(`it has ended (${State})`);
      return `VmSize ${VmSize}`;
    },
  };
}

function lookingProbes(pid: number): Probe[] {
  return [
    {
      name: "same user, or CAP_SYS_PTRACE",
      neededFor: "looking",
      cost: "its mappings and its pagemap can't be read",
      remedy: "run as root (sudo), or as its user",
      look: () => lookAtUser(pid),
    },
    {
      name: "ptrace read access",
      neededFor: "looking",
      cost: "its mappings and its pagemap can't be read",
      remedy: PTRACE_READ_NEEDS,
      look() {
        using pagemap = PagemapFile.open(pid);
        return `/proc/${pagemap.pid}/pagemap can be opened`;
      },
    },
  ];
}

function attachingProbes(pid: number): Probe[] {
  return [
    {
      name: "not init",
      neededFor: "attaching",
      cost: "attach is refused: the machine can't do without init",
      remedy: "attach --force",
      look() {
        if (pid === 1) throw missing("it is init");
        return "the machine can do without it";
      },
    },
    {
      name: "ptrace attach access",
      neededFor: "attaching",
      cost: "attach can't work",
      remedy: "run as root (sudo), with CAP_SYS_PTRACE, or as its user where kernel.yama.ptrace_scope is 0",
      look: () => lookAtAttachAccess(pid),
    },
    {
      name: "no tracer",
      neededFor: "attaching",
      cost: "attach can't work: a thread has one tracer at most",
      remedy: "end the debugger",
      look: () =>
        lookAtThreads(pid, ({ TracerPid = "0" }) => TracerPid === "0" || `process ${TracerPid} traces it`),
    },
    {
      name: "no seccomp",
      neededFor: "attaching",
      cost: "attach is refused: the filter may kill the process for the system call that attach makes in it",
      remedy: "start the process with a filter that allows userfaultfd, or without; then attach --force",
      look: () =>
        lookAtThreads(pid, ({ Seccomp = "0" }) => Seccomp === "0" || `seccomp is in mode ${Seccomp}`),
    },
    {
      name: "64-bit program",
      neededFor: "attaching",
      cost: "attach can't work: it makes the system calls of x86-64",
      remedy: "",
      look() {
        if (!isNativeProgram(pid)) throw missing("it is not a program for 64-bit x86");
        return "it is an x86-64 program";
      },
    },
    {
      name: "no user shadow stack",
      neededFor: "attaching",
      cost: "attach can't work: a shadow stack allows no return that heals a thread",
      remedy: "start the process with the tunable glibc.cpu.x86_shstk=off",
      look: () =>
        lookAtThreads(
          pid,
          ({ x86_Thread_features: features = "" }) =>
            !features.split(/\s+/).includes("shstk") || "it has a user shadow stack",
        ),
    },
    {
      name: "no guard regions",
      limits: "attaching",
      cost: "mappings with guard regions are not armed (on some kernels that would hang the process)",
      remedy: "",
      look: () => lookAtGuardRegions(pid),
    },
    {
      name: "no userfaultfd",
      limits: "attaching",
      cost: "mappings that another userfaultfd has can't be armed",
      remedy: "wait until the snapshot or migration that it serves is over",
      look: () => lookAtRegistrations(pid),
    },
  ];
}

function lookAtUser(pid: number): string {
  const ours = process.geteuid?.() ?? -1;
  const uids = (readStatus(pid).Uid ?? "").split(/\s+/).map(Number);
  if (uids.some((uid) => uid !== ours)) {
    const who = `its user ids are ${uids.slice(0, 3).join(", ")}, ours is ${ours}`;
    if (!hasCapability(readStatus(process.pid), "SYS_PTRACE")) throw missing(who);
    return `${who}, and we have CAP_SYS_PTRACE`;
  }
  return `both are user ${ours}`;
}

/**
 * Asks for a descriptor that no process has: access is checked before it is looked for, by the rules of
 * attaching.
 */
function lookAtAttachAccess(pid: number): string {
  using pidfd = Pidfd.open(pid);
  try {
    closeSync(pidfd.getfd(2 ** 31 - 1));
  } catch (error) {
    if (!(error instanceof LinuxError && error.code === "EBADF")) throw error;
  }
  return "pidfd_getfd lets us have descriptors";
}

/** Attaching takes one thread of which `judge` finds nothing wrong; else it says what is. */
function lookAtThreads(pid: number, judge: (status: ProcessStatus) => true | string): string {
  const statuses = readThreadStatuses(pid);
  const flaws = [...statuses].flatMap(([tid, status]) => {
    const judgement = judge(status);
    return judgement === true ? [] : [`thread ${tid}: ${judgement}`];
  });
  if (flaws.length === statuses.size) throw missing(flaws[0] ?? "it has ended");
  return flaws.length === 0
    ? `true of all its threads (${statuses.size})`
    : `not of all its threads: ${flaws[0]}`;
}

function lookAtGuardRegions(pid: number): string {
  using pagemap = PagemapFile.open(pid);
  const scanner = new PagemapScanner({ regionsMax: 256 });
  const guarded = new Set<string>();
  for (const { start, end, path } of readMaps(pid)) {
    if (end > TASK_SIZE) continue; // [vsyscall] is the kernel's
    const name = path || `0x${start.toString(16)}`;
    scanner.scan(pagemap, { start, end, mask: PAGE_IS_GUARD, returned: PAGE_IS_GUARD }, () =>
      guarded.add(name),
    );
  }
  if (guarded.size > 0) throw missing(`some are in ${[...guarded].join(", ")}`);
  return "none found";
}

const USERFAULTFD_FLAGS = ["uw", "um", "ui"];

function lookAtRegistrations(pid: number): string {
  const registered = readSmaps(pid).filter(({ vmFlags }) =>
    USERFAULTFD_FLAGS.some((flag) => vmFlags.has(flag)),
  );
  if (registered.length > 0) {
    const names = new Set(registered.map(({ path, start }) => path || `0x${start.toString(16)}`));
    throw missing(`registered: ${[...names].join(", ")}`);
  }
  return "no mapping is registered";
}
