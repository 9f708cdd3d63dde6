/**
 * System calls made in another running process, which does not notice: see docs/attach.md for what is
 * changed there, and what remains if this process dies at the worst moment.
 */

import { closeSync, readlinkSync } from "node:fs";
import { constants, getPriority, setPriority } from "node:os";
import process from "node:process";
import { UFFD_USER_MODE_ONLY } from "../abi/index.ts";
import { resumedInUserMode, undoInterruption } from "./interrupted-call.ts";
import { SYS } from "./libc.ts";
import { errnoNameOf, LinuxError } from "./linux-error.ts";
import { type MapsEntry, readMaps } from "./maps.ts";
import { Pidfd } from "./pidfd.ts";
import { readMemory } from "./process-memory.ts";
import { isKernelThread } from "./procfs.ts";
import { isNativeProgram } from "./program.ts";
import { newRegisters, REG } from "./ptrace.ts";
import { RemoteThread, type StepListener } from "./remote-thread.ts";
import { runsOnAlternateStack, type SignalFrame, signalFrame } from "./signal-frame.ts";
import { findTargetCode, hasTargetCode, type TargetCode } from "./target-code.ts";
import { chooseThreads, ownStack, refused, type ThreadChoice, type ThreadRules } from "./target-threads.ts";
import { USERFAULTFD_FLAGS, USERFAULTFD_NEEDS, Userfaultfd } from "./userfaultfd.ts";

export interface RemoteOptions extends ThreadRules {
  /**
   * How long to wait for a thread to stop, and for one to be where it can be used; milliseconds, 1000 by
   * default.
   */
  readonly patienceMs?: number;
  /** For tests that end this process at each point where it might die. */
  readonly onStep?: StepListener;
}

const PATIENCE_MS = 1000;
/**
 * Before the second look at all threads, when none could be used where it was stopped; twice as long before
 * the next.
 */
const RETRY_MS = 1;
/** Left below the frame, for the kernel's own: a signal may be delivered on top of ours. */
const STACK_RESERVE_BYTES = 8192;
/** How far up the stack to look for a signal handler's frame. */
const LOOK_ABOVE_BYTES = 65_536;

const sleepCell = new Int32Array(new SharedArrayBuffer(4));

/** What a call in another process came to. */
export interface RemoteResult<T> {
  readonly result: T;
  /** The thread that was made to do it. */
  readonly thread: number;
  /** How long it was stopped, from asking it to stop to letting it go. */
  readonly stoppedMs: number;
}

export class RemoteProcess implements Disposable {
  readonly pid: number;
  readonly #pidfd: Pidfd;
  readonly #options: RemoteOptions;
  readonly #code: TargetCode;
  #maps: MapsEntry[];

  private constructor(pidfd: Pidfd, options: RemoteOptions, maps: MapsEntry[], code: TargetCode) {
    this.pid = pidfd.pid;
    this.#pidfd = pidfd;
    this.#options = options;
    this.#maps = maps;
    this.#code = code;
  }

  /**
   * Looks whether system calls can be made in the process. Nothing is touched yet.
   *
   * @throws {LinuxError} with the reason, if not
   */
  static open(pid: number, options: RemoteOptions = {}): RemoteProcess {
    const pidfd = Pidfd.open(pid);
    try {
      const { living } = acceptProcess(pid, options);
      const maps = readMaps(living);
      const code = findTargetCode(living, maps);
      if (code === undefined) {
        const reason =
          "it has no code that makes a system call, or that a signal handler returns to (no libc)";
        throw refused(pid, reason);
      }
      rehearse(living, maps, code);
      return new RemoteProcess(pidfd, options, maps, code);
    } catch (error) {
      pidfd[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Stops a thread, has `calls` make system calls in it, and lets it go: as it was, also if `calls` throws,
   * and if this process dies.
   *
   * @throws {LinuxError} if no thread can be used before the deadline
   */
  inThread<T>(calls: (thread: RemoteThread) => T): RemoteResult<T> {
    const deadlineMs = performance.now() + this.#patienceMs;
    for (let retryMs = RETRY_MS; ; retryMs *= 2) {
      const choice = chooseThreads(this.pid, this.#options);
      let { hindrance } = choice;
      for (const tid of choice.threads) {
        const attempt = urgently(() => this.#attempt(tid, calls));
        if (typeof attempt === "object") return attempt;
        hindrance ||= `thread ${tid}: ${attempt}`;
      }
      if (performance.now() + retryMs > deadlineMs) throw refused(this.pid, hindrance);
      Atomics.wait(sleepCell, 0, 0, retryMs);
      this.#maps = readMaps(choice.living); // a thread may have come with a stack of its own
    }
  }

  get #patienceMs(): number {
    return this.#options.patienceMs ?? PATIENCE_MS;
  }

  /** Returns why not, if the thread can't be used where it stopped. */
  #attempt<T>(tid: number, calls: (thread: RemoteThread) => T): RemoteResult<T> | string {
    const onStep = this.#options.onStep ?? (() => {});
    onStep("chosen");
    const start = performance.now();
    const thread = RemoteThread.stop({ tid, deadlineMs: start + this.#patienceMs, onStep });
    let result: T;
    try {
      const prepared = this.#prepare(thread);
      if (prepared !== undefined) return prepared;
      result = calls(thread);
    } finally {
      thread.release();
    }
    return { result, thread: tid, stoppedMs: performance.now() - start };
  }

  #prepare(thread: RemoteThread): string | undefined {
    if (!this.#pidfd.isAlive() || !hasTargetCode(thread.tid, this.#code)) {
      throw new LinuxError({ code: "ESRCH", call: `attach to process ${this.pid}`, needs: "it has ended" });
    }
    const hindrance = thread.hindrance();
    if (hindrance !== undefined) return hindrance;
    const frame = thread.frame(this.#code);
    const reason = this.#stackHindrance(thread, frame);
    if (reason === undefined) thread.prepare(this.#code, frame);
    return reason;
  }

  #stackHindrance({ registers, tid }: RemoteThread, frame: SignalFrame): string | undefined {
    const stackPointer = Number(registers[REG.rsp]);
    const fsBase = Number(registers[REG.fs_base]);
    const stack = ownStack(this.#maps, { stackPointer, fsBase, isMain: tid === this.pid });
    if (stack === undefined) return "it runs on a stack of its program's making";
    if (frame.address - STACK_RESERVE_BYTES < stack.start) return "it is too near the end of its stack";
    const above = new Uint8Array(Math.min(LOOK_ABOVE_BYTES, stack.end - stackPointer));
    const read = readMemory(tid, stackPointer, above);
    if (runsOnAlternateStack(above.subarray(0, read), stackPointer, this.#code.restorer))
      return "it runs a signal handler on an alternate stack";
    return undefined;
  }

  /** A copy, here, of a descriptor that a thread has. */
  getfd(tid: number, fd: number): number {
    using ofThread = tid === this.pid ? undefined : Pidfd.openThread(tid);
    return (ofThread ?? this.#pidfd).getfd(fd);
  }

  [Symbol.dispose](): void {
    this.#pidfd[Symbol.dispose]();
  }
}

/** Runs at the highest priority that we may have: where CPUs are busy, a stopped thread waits until we get one. */
function urgently<T>(run: () => T): T {
  const before = getPriority();
  try {
    setPriority(constants.priority.PRIORITY_HIGHEST);
  } catch {
    return run(); // that takes CAP_SYS_NICE
  }
  try {
    return run();
  } finally {
    setPriority(before);
  }
}

/**
 * Does what will be done while a thread is stopped, so that it is compiled by then: the first call of a
 * function takes many times longer than the second, and more than the stop itself.
 */
function rehearse(tid: number, maps: readonly MapsEntry[], code: TargetCode): void {
  const registers = newRegisters();
  undoInterruption(registers);
  const { bytes } = signalFrame({
    registers: resumedInUserMode(registers),
    signalMask: 0n,
    xstate: new Uint8Array(2 ** 10),
    restorer: code.restorer,
    below: 2 ** 20,
  });
  runsOnAlternateStack(bytes, 0, code.restorer);
  ownStack(maps, { stackPointer: 0, fsBase: 0, isMain: false });
  hasTargetCode(tid, code);
}

/** Refuses a process that is unfit as a whole. */
function acceptProcess(pid: number, { force = false }: ThreadRules): ThreadChoice {
  if (pid === process.pid) throw refused(pid, "this process is ours, and nobody traces itself");
  if (pid === 1 && !force)
    throw refused(pid, "it is init, which the machine can't do without (force does it)");
  if (isKernelThread(pid)) throw refused(pid, "it is a thread of the kernel, and has no memory of its own");
  const choice = chooseThreads(pid, { force });
  if (!isNativeProgram(choice.living)) throw refused(pid, "it is not a program for 64-bit x86");
  return choice;
}

/** A userfaultfd of another process. */
export interface RemoteUserfaultfd {
  /** Ours to close, or to give to `Userfaultfd.adopt`; no handshake was made. The process has no copy. */
  readonly fd: number;
  readonly thread: number;
  readonly stoppedMs: number;
}

/**
 * Makes a userfaultfd in a running process, fetches its descriptor, and closes the original. Of our own
 * process it just makes one.
 *
 * @throws {LinuxError} with the reason, if that can't be done safely; if the process may not make one; if
 *   it has ended
 */
export function createUserfaultfdIn(pid: number, options: RemoteOptions = {}): RemoteUserfaultfd {
  if (pid === process.pid) return { fd: Userfaultfd.create().fd, thread: pid, stoppedMs: 0 };
  using remote = RemoteProcess.open(pid, options);
  const { result, thread, stoppedMs } = remote.inThread((thread) => {
    let theirs = thread.syscall("userfaultfd", SYS.userfaultfd, USERFAULTFD_FLAGS);
    if (theirs < 0 && errnoNameOf(-theirs) === "EPERM") {
      theirs = thread.syscall("userfaultfd", SYS.userfaultfd, USERFAULTFD_FLAGS | UFFD_USER_MODE_ONLY);
    }
    if (theirs < 0) return { error: -theirs };
    try {
      const fd = remote.getfd(thread.tid, theirs);
      options.onStep?.("descriptor fetched");
      return { fd };
    } finally {
      thread.syscall("close", SYS.close, theirs);
    }
  });
  if (result.fd === undefined) {
    const code = errnoNameOf(result.error);
    throw new LinuxError({
      code,
      call: `userfaultfd in process ${pid}`,
      needs: USERFAULTFD_NEEDS[code] ?? (code === "EMFILE" ? "a free descriptor in that process" : ""),
    });
  }
  if (readlinkSync(`/proc/self/fd/${result.fd}`) !== "anon_inode:[userfaultfd]") {
    closeSync(result.fd);
    throw refused(pid, `thread ${thread} has descriptors of its own, which this kernel can't fetch`);
  }
  return { fd: result.fd, thread, stoppedMs };
}
