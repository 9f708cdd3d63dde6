/**
 * ptrace of one thread, x86-64: stopping it, its registers, its stops. Source:
 * `include/uapi/linux/ptrace.h`, `arch/x86/include/asm/user_64.h` (6.18), ptrace(2). All calls for a tracee
 * must come from the thread that seized it.
 */

import { addressOf, ptraceRaw, SYS, syscallRaw, type WaitResult, waitpidRaw } from "./libc.ts";
import { errnoNameOf, LinuxError } from "./linux-error.ts";

const PTRACE_CONT = 7;
const PTRACE_GETREGS = 12;
const PTRACE_SETREGS = 13;
const PTRACE_DETACH = 17;
const PTRACE_SYSCALL = 24;
const PTRACE_GETEVENTMSG = 0x4201;
const PTRACE_GETREGSET = 0x4204;
const PTRACE_SEIZE = 0x4206;
const PTRACE_INTERRUPT = 0x4207;
const PTRACE_GETSIGMASK = 0x420a;
const PTRACE_SETSIGMASK = 0x420b;
const PTRACE_GET_RSEQ_CONFIGURATION = 0x420f;
const PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG = 0x4211;

/**
 * For {@link getRegisterSet}: the FPU and vector registers, in XSAVE's standard form
 * (`include/uapi/linux/elf.h`).
 */
export const NT_X86_XSTATE = 0x202;

export const PTRACE_O_TRACESYSGOOD = 1;
export const PTRACE_O_TRACEFORK = 2;
export const PTRACE_O_TRACECLONE = 8;
export const PTRACE_O_EXITKILL = 0x10_0000;

export const PTRACE_EVENT_FORK = 1;
export const PTRACE_EVENT_CLONE = 3;

export const SIGKILL = 9;
export const SIGTRAP = 5;

export const WNOHANG = 1;
/** Also threads, and children that are not of fork: needed for tracees. */
export const WALL = 0x4000_0000;

/** Where each register is in `struct user_regs_struct`: 27 u64. */
export const REG = {
  r15: 0,
  r14: 1,
  r13: 2,
  r12: 3,
  rbp: 4,
  rbx: 5,
  r11: 6,
  r10: 7,
  r9: 8,
  r8: 9,
  rax: 10,
  rcx: 11,
  rdx: 12,
  rsi: 13,
  rdi: 14,
  orig_rax: 15,
  rip: 16,
  cs: 17,
  eflags: 18,
  rsp: 19,
  ss: 20,
  fs_base: 21,
  gs_base: 22,
  ds: 23,
  es: 24,
  fs: 25,
  gs: 26,
} as const;

/** `struct user_regs_struct`, indexed by {@link REG}. */
export type Registers = BigUint64Array;

export function newRegisters(): Registers {
  return new BigUint64Array(27);
}

function checked(request: string, tid: number, result: number): number {
  if (result >= 0) return result;
  throw new LinuxError({ code: errnoNameOf(-result), call: `ptrace ${request} of thread ${tid}` });
}

/** Becomes the tracer; the thread runs on. */
export function seize(tid: number, options: number): void {
  checked("SEIZE", tid, ptraceRaw(PTRACE_SEIZE, tid, 0, options));
}

/** Asks the thread to stop; it does with an event stop. */
export function interrupt(tid: number): void {
  checked("INTERRUPT", tid, ptraceRaw(PTRACE_INTERRUPT, tid, 0, 0));
}

/** Lets the thread go, delivering a signal if one is given. */
export function detach(tid: number, signal = 0): void {
  checked("DETACH", tid, ptraceRaw(PTRACE_DETACH, tid, 0, signal));
}

/** Lets the thread run until its next stop, delivering a signal if one is given. */
export function resume(tid: number, signal = 0): void {
  checked("CONT", tid, ptraceRaw(PTRACE_CONT, tid, 0, signal));
}

/** Lets the thread run until it enters or leaves a system call, or another stop. */
export function resumeToSyscall(tid: number, signal = 0): void {
  checked("SYSCALL", tid, ptraceRaw(PTRACE_SYSCALL, tid, 0, signal));
}

export function getRegisters(tid: number, into: Registers): void {
  checked("GETREGS", tid, ptraceRaw(PTRACE_GETREGS, tid, 0, into));
}

export function setRegisters(tid: number, registers: Registers): void {
  checked("SETREGS", tid, ptraceRaw(PTRACE_SETREGS, tid, 0, registers));
}

/** The thread's blocked signals, as the kernel's 64-bit sigset. */
export function getSignalMask(tid: number): bigint {
  const mask = new BigUint64Array(1);
  checked("GETSIGMASK", tid, ptraceRaw(PTRACE_GETSIGMASK, tid, 8, mask));
  return mask[0];
}

/** Blocks these signals in the thread, and no others. SIGKILL and SIGSTOP can't be blocked. */
export function setSignalMask(tid: number, mask: bigint): void {
  checked("SETSIGMASK", tid, ptraceRaw(PTRACE_SETSIGMASK, tid, 8, BigUint64Array.of(mask)));
}

/**
 * The address of the thread's `struct rseq`; 0 if it has none, or this kernel does not tell (before 5.13).
 */
export function getRseqAddress(tid: number): number {
  const configuration = new BigUint64Array(3); // struct ptrace_rseq_configuration
  const bytes = configuration.byteLength;
  const result = ptraceRaw(PTRACE_GET_RSEQ_CONFIGURATION, tid, bytes, configuration);
  return result < 0 ? 0 : Number(configuration[0]);
}

/**
 * Whether the thread has some of its system calls sent to a handler of its own (prctl(2)
 * PR_SET_SYSCALL_USER_DISPATCH).
 */
export function dispatchesSyscalls(tid: number): boolean {
  const configuration = new BigUint64Array(4); // struct ptrace_sud_config
  const bytes = configuration.byteLength;
  const result = ptraceRaw(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, tid, bytes, configuration);
  return result >= 0 && configuration[0] !== 0n; // before 6.4 it can't be asked
}

/** What the event of the current stop is about (of a fork: the child's pid). */
export function getEventMessage(tid: number): number {
  const message = new BigUint64Array(1);
  checked("GETEVENTMSG", tid, ptraceRaw(PTRACE_GETEVENTMSG, tid, 0, message));
  return Number(message[0]);
}

/** A register set (`NT_...`) into `buffer`; returns its length in bytes. */
export function getRegisterSet(tid: number, type: number, buffer: Uint8Array): number {
  const iovec = BigUint64Array.of(addressOf(buffer), BigInt(buffer.byteLength));
  checked("GETREGSET", tid, ptraceRaw(PTRACE_GETREGSET, tid, type, iovec));
  return Number(iovec[1]);
}

/** A change of state of a tracee. */
export type Stop =
  | { readonly kind: "exited"; readonly tid: number; readonly code: number }
  | { readonly kind: "killed"; readonly tid: number; readonly signal: number }
  /** On entry to or exit from a system call. */
  | { readonly kind: "syscall"; readonly tid: number }
  | { readonly kind: "event"; readonly tid: number; readonly event: number; readonly signal: number }
  /** About to get a signal, which whoever lets it run on must pass on. */
  | { readonly kind: "signal"; readonly tid: number; readonly signal: number };

function decode({ pid: tid, status }: WaitResult): Stop {
  const low = status & 0x7f;
  if (low === 0) return { kind: "exited", tid, code: (status >> 8) & 0xff };
  if (low !== 0x7f) return { kind: "killed", tid, signal: low };
  const signal = (status >> 8) & 0xff;
  if (signal === (SIGTRAP | 0x80)) return { kind: "syscall", tid };
  const event = (status >> 16) & 0xff;
  return event === 0 ? { kind: "signal", tid, signal } : { kind: "event", tid, event, signal };
}

/** Waits for a tracee's next change of state (-1: any one's). Blocks. */
export function waitForStop(tid: number): Stop {
  for (;;) {
    const result = waitpidRaw(tid, WALL);
    if (result.pid > 0) return decode(result);
    if (errnoNameOf(-result.pid) !== "EINTR") {
      throw new LinuxError({ code: errnoNameOf(-result.pid), call: `waitpid ${tid}` });
    }
  }
}

/** A tracee's change of state, if there is one by now. */
export function pollForStop(tid: number): Stop | undefined {
  const result = waitpidRaw(tid, WALL | WNOHANG);
  if (result.pid < 0) throw new LinuxError({ code: errnoNameOf(-result.pid), call: `waitpid ${tid}` });
  return result.pid === 0 ? undefined : decode(result);
}

/**
 * Looks this often without sleeping (a stop takes microseconds), then sleeps between: the tracee may need
 * this CPU.
 */
const EAGER_POLLS = 30;
const SLEEP_MS = 0.02;
const sleepCell = new Int32Array(new SharedArrayBuffer(4));

const P_PID = 1;
const WSTOPPED = 2;
const WEXITED = 4;
const WNOWAIT = 0x100_0000;

/** `siginfo_t` of waitid: si_code at 8, si_pid at 16, si_status at 24. */
const childInfo = new Int32Array(32);
const [SI_CODE, SI_PID, SI_STATUS] = [2, 4, 6];
const CLD_EXITED = 1;
const CLD_DUMPED = 3;

/**
 * Waits for a tracee's next change of state, until `performance.now()` is `deadlineMs`. undefined: there
 * was none. If it has ended, that is left to be waited for: its parent may be another part of this process
 * (`node:child_process`).
 */
export function waitForStopUntil(tid: number, deadlineMs: number): Stop | undefined {
  const options = WEXITED | WSTOPPED | WNOWAIT | WNOHANG | WALL;
  for (let polls = 0; ; polls++) {
    childInfo[SI_PID] = 0;
    const result = syscallRaw(SYS.waitid, P_PID, tid, addressOf(childInfo), options);
    // No tracee of ours any more: another thread's exec has ended it.
    if (errnoNameOf(-result) === "ECHILD") return { kind: "killed", tid, signal: SIGKILL };
    if (result < 0) throw new LinuxError({ code: errnoNameOf(-result), call: `waitid ${tid}` });
    if (childInfo[SI_PID] !== 0) {
      const [code, status] = [childInfo[SI_CODE], childInfo[SI_STATUS]];
      if (code === CLD_EXITED) return { kind: "exited", tid, code: status };
      if (code <= CLD_DUMPED) return { kind: "killed", tid, signal: status };
      return pollForStop(tid);
    }
    if (performance.now() > deadlineMs) return undefined;
    if (polls < EAGER_POLLS) syscallRaw(SYS.sched_yield);
    else Atomics.wait(sleepCell, 0, 0, SLEEP_MS);
  }
}

/** Takes the status of a tracee that has ended, so that its own parent learns of it. */
export function reap(tid: number): void {
  waitpidRaw(tid, WALL | WNOHANG);
}
