/**
 * A thread of another process, stopped for as long as it takes to make system calls in it. Before its first
 * register is changed, its stack holds a signal frame with all that it had; from then on, whatever the
 * thread is let go to do without us ends in rt_sigreturn, and that gives everything back. A tracer that
 * lives gives it back by itself.
 */

import process from "node:process";
import { resumedInUserMode, undoInterruption, wasRunning } from "./interrupted-call.ts";
import { LinuxError } from "./linux-error.ts";
import { readMemory, writeMemory } from "./process-memory.ts";
import {
  detach,
  dispatchesSyscalls,
  getRegisterSet,
  getRegisters,
  getRseqAddress,
  getSignalMask,
  interrupt,
  NT_X86_XSTATE,
  newRegisters,
  PTRACE_O_TRACESYSGOOD,
  REG,
  type Registers,
  reap,
  resume,
  resumeToSyscall,
  type Stop,
  seize,
  setRegisters,
  setSignalMask,
  waitForStopUntil,
} from "./ptrace.ts";
import { RED_ZONE_BYTES, type SignalFrame, signalFrame, USER_CS } from "./signal-frame.ts";
import { readStatus } from "./status.ts";
import type { TargetCode } from "./target-code.ts";

const NO_SYSTEM_CALL = 2n ** 64n - 1n;
const ALL_SIGNALS = 2n ** 64n - 1n;
const ARGUMENTS = [REG.rdi, REG.rsi, REG.rdx, REG.r10, REG.r8, REG.r9];
/** XSAVE's area with all that a CPU has by now, AMX's tiles included, is some 11 KiB. */
const XSTATE_BYTES_MAX = 16_384;
/** How often a thread that did not stop in time is looked for, to let it go. */
const ABANDONED_POLL_MS = 5;

/** Called at each point where this process might die. */
export type StepListener = (step: string) => void;

export interface StopOptions {
  readonly tid: number;
  /** As `performance.now()` tells it. */
  readonly deadlineMs: number;
  readonly onStep: StepListener;
}

export class RemoteThread {
  readonly tid: number;
  readonly #deadlineMs: number;
  readonly #onStep: StepListener;
  /** What the thread stopped with, and is let go with. */
  readonly #registers = newRegisters();
  #signalMask = 0n;
  readonly #call = newRegisters();
  #prepared: { code: TargetCode; frame: SignalFrame; overwritten: Uint8Array } | undefined;
  /** Whether it is ours to let go: it is stopped. */
  #isStopped = false;

  private constructor({ tid, deadlineMs, onStep }: StopOptions) {
    this.tid = tid;
    this.#deadlineMs = deadlineMs;
    this.#onStep = onStep;
  }

  /**
   * Stops a thread; `release` lets it go.
   *
   * @throws {LinuxError} EPERM without the permission to trace, ESRCH if it has ended, ETIMEDOUT if it did
   *   not stop in
   *   time: it is let go then as soon as it does, or when this process ends
   */
  static stop(options: StopOptions): RemoteThread {
    const thread = new RemoteThread(options);
    const { tid, onStep } = options;
    try {
      seize(tid, PTRACE_O_TRACESYSGOOD);
    } catch (error) {
      throw error instanceof LinuxError && error.code === "EPERM" ? notPermitted(tid, error) : error;
    }
    onStep("seized");
    interrupt(tid);
    onStep("interrupted");
    thread.#wait(({ kind }) => kind === "event", resume);
    onStep("stopped");
    getRegisters(tid, thread.#registers);
    if (undoInterruption(thread.#registers)) setRegisters(tid, thread.#registers);
    return thread;
  }

  get registers(): Readonly<Registers> {
    return this.#registers;
  }

  /** Why no system call may be made in the thread where it is stopped now; undefined if it may. */
  hindrance(): string | undefined {
    const { tid } = this;
    if (this.#registers[REG.cs] !== USER_CS) return "it runs 32-bit code";
    if (dispatchesSyscalls(tid)) return "it handles system calls itself (PR_SET_SYSCALL_USER_DISPATCH)";
    if (wasRunning(this.#registers) && this.#isInRestartableSequence())
      return "it is in a restartable sequence";
    return undefined;
  }

  /**
   * struct rseq: rseq_cs at 8; struct rseq_cs: start_ip at 8, post_commit_offset at 16.
   * `include/uapi/linux/rseq.h`.
   */
  #isInRestartableSequence(): boolean {
    const address = getRseqAddress(this.tid);
    if (address === 0) return false;
    const pointer = new BigUint64Array(1);
    readMemory(this.tid, address + 8, new Uint8Array(pointer.buffer));
    if (pointer[0] === 0n) return false;
    const sequence = new BigUint64Array(2);
    readMemory(this.tid, Number(pointer[0]) + 8, new Uint8Array(sequence.buffer));
    return BigInt.asUintN(64, this.#registers[REG.rip] - sequence[0]) < sequence[1];
  }

  /**
   * The frame that gives everything back. Its bytes are to lie on the thread's stack, which the caller has
   * seen to.
   */
  frame(code: TargetCode): SignalFrame {
    this.#signalMask = getSignalMask(this.tid);
    const buffer = new Uint8Array(XSTATE_BYTES_MAX);
    const lengthBytes = getRegisterSet(this.tid, NT_X86_XSTATE, buffer);
    return signalFrame({
      registers: resumedInUserMode(this.#registers),
      signalMask: this.#signalMask,
      xstate: buffer.subarray(0, lengthBytes),
      restorer: code.restorer,
      below: Number(this.#registers[REG.rsp]) - RED_ZONE_BYTES,
    });
  }

  /** Writes the frame: system calls may be made. */
  prepare(code: TargetCode, frame: SignalFrame): void {
    const overwritten = new Uint8Array(frame.bytes.length);
    readMemory(this.tid, frame.address, overwritten);
    writeMemory(this.tid, frame.address, frame.bytes);
    this.#prepared = { code, frame, overwritten };
    this.#onStep("frame written");
  }

  /** Makes a system call; returns its result, or minus errno. Pointers in its arguments are the thread's. */
  syscall(name: string, number: number, ...args: readonly number[]): number {
    if (this.#prepared === undefined) throw new TypeError("prepare comes first");
    const { code, frame } = this.#prepared;
    const isFirst = this.#call[REG.rip] === 0n;
    const call = this.#call;
    call.set(this.#registers);
    call[REG.rip] = BigInt(code.syscallReturn);
    call[REG.rsp] = BigInt(frame.address);
    call[REG.orig_rax] = NO_SYSTEM_CALL; // nothing is to be started again here
    call[REG.rax] = BigInt(number);
    args.forEach((value, index) => {
      call[ARGUMENTS[index]] = BigInt(value);
    });
    setRegisters(this.tid, call);
    if (isFirst) {
      // From here on no handler runs on our frame, and none misses that its signal ended a system call. Not
      // before: with its own registers the thread must never run with signals blocked.
      setSignalMask(this.tid, ALL_SIGNALS);
    }
    this.#onStep(`${name}: registers set`);
    this.#resumeToSyscall();
    this.#onStep(`${name}: entered`);
    this.#resumeToSyscall();
    this.#onStep(`${name}: done`);
    getRegisters(this.tid, call);
    if (call[REG.rip] !== BigInt(code.syscallReturn) + 2n) {
      throw new LinuxError({
        call: `${name} in thread ${this.tid}`,
        needs: "to run as told, which it did not",
      });
    }
    return Number(BigInt.asIntN(64, call[REG.rax]));
  }

  #resumeToSyscall(): void {
    this.#isStopped = false;
    resumeToSyscall(this.tid);
    this.#wait(({ kind }) => kind === "syscall", resumeToSyscall);
  }

  /** Waits for the stop that is wanted, and has signals and other stops pass. */
  #wait(isWanted: (stop: Stop) => boolean, goOn: (tid: number, signal: number) => void): void {
    for (;;) {
      const stop = waitForStopUntil(this.tid, this.#deadlineMs);
      if (stop === undefined) {
        letGoOnceStopped(this.tid);
        throw new LinuxError({
          code: "ETIMEDOUT",
          call: `stop of thread ${this.tid}`,
          needs: "a thread that does not wait for what can't be interrupted (a device, a frozen cgroup)",
        });
      }
      if (stop.kind === "exited" || stop.kind === "killed") {
        reapUnlessChild(this.tid);
        throw hasEnded(this.tid);
      }
      this.#isStopped = true;
      if (isWanted(stop)) return;
      this.#isStopped = false;
      goOn(this.tid, stop.kind === "signal" ? stop.signal : 0);
    }
  }

  /** Gives everything back that was changed, and lets the thread go. It may have ended. */
  release(): void {
    if (!this.#isStopped) return;
    this.#isStopped = false;
    try {
      try {
        if (this.#prepared !== undefined) this.#restore(this.#prepared);
      } finally {
        detach(this.tid);
      }
    } catch (error) {
      if (!(error instanceof LinuxError && error.code === "ESRCH")) throw error;
    }
    this.#onStep("detached");
  }

  /** In this order: signals that may be delivered need the thread's own registers, or the frame. */
  #restore({ frame, overwritten }: { frame: SignalFrame; overwritten: Uint8Array }): void {
    if (this.#call[REG.rip] !== 0n) setSignalMask(this.tid, this.#signalMask);
    this.#onStep("signals unblocked");
    setRegisters(this.tid, this.#registers);
    this.#onStep("registers restored");
    writeMemory(this.tid, frame.address, overwritten);
    this.#onStep("stack restored");
  }
}

function hasEnded(tid: number): LinuxError {
  return new LinuxError({ code: "ESRCH", call: `thread ${tid}`, needs: "it has ended meanwhile" });
}

function notPermitted(tid: number, error: LinuxError): LinuxError {
  if (/^[ZX]/.test(readStatus(tid).State ?? "")) return hasEnded(tid);
  const needs =
    "the permission to trace it: be root or have CAP_SYS_PTRACE (in its user namespace), or be the same " +
    "user where /proc/sys/kernel/yama/ptrace_scope allows it; and no other tracer";
  return new LinuxError({ code: error.code, call: error.call, needs, cause: error });
}

/**
 * What has ended while it was traced is its tracer's to reap; but a child's status is for whoever started it
 * here.
 */
function reapUnlessChild(tid: number): void {
  try {
    const { Tgid, PPid } = readStatus(tid);
    if (Tgid === String(tid) && PPid === String(process.pid)) return;
  } catch {
    // There is nothing left of it.
  }
  reap(tid);
}

/** Detaches from a thread when it stops at last. Wherever that is: the frame gives it back what it had. */
function letGoOnceStopped(tid: number): void {
  const timer = setInterval(() => {
    try {
      const stop = waitForStopUntil(tid, 0);
      if (stop === undefined) return;
      if (stop.kind === "exited" || stop.kind === "killed") reapUnlessChild(tid);
      else detach(tid, stop.kind === "signal" ? stop.signal : 0);
    } catch {
      // It has ended, or somebody has waited for it.
    }
    clearInterval(timer);
  }, ABANDONED_POLL_MS);
  timer.unref();
}
