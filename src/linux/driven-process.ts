/**
 * A real, small process of our own that does only what it is told: it is always stopped, and makes a system call, loads
 * or stores when this thread, its tracer, has it run a piece of its code. It ends with us, however we end.
 */

import { closeSync, writeSync } from "node:fs";
import { FaultSignal, type SignalName } from "../abi/errno.ts";
import { MAP_FIXED_NOREPLACE, MAP_SHARED, PAGE_SIZE, PROT_READ, PROT_WRITE } from "../abi/mman.ts";
import { CODE_AT, programImage } from "./driven-program.ts";
import { memfdCreate, mmap, posixSpawn, SYS, syscall, syscallRaw, viewOf } from "./libc.ts";
import { errnoNameOf, LinuxError } from "./linux-error.ts";
import { Pidfd } from "./pidfd.ts";
import { readProcFile, statFields } from "./procfs.ts";
import {
  getEventMessage,
  getRegisters,
  interrupt,
  newRegisters,
  PTRACE_EVENT_CLONE,
  PTRACE_EVENT_FORK,
  PTRACE_O_EXITKILL,
  PTRACE_O_TRACECLONE,
  PTRACE_O_TRACEFORK,
  pollForStop,
  REG,
  resume,
  SIGKILL,
  SIGTRAP,
  type Stop,
  seize,
  setRegisters,
  waitForStop,
} from "./ptrace.ts";
import { USERFAULTFD_FLAGS, Userfaultfd } from "./userfaultfd.ts";

/** Where every driven process has the memory that it shares with us, and how much there is. */
export const SCRATCH_ADDRESS = 0x10_0000;
export const SCRATCH_BYTES = 16 * PAGE_SIZE;
/** Loads go there, eight bytes a page. */
const LOADED_MAX = SCRATCH_BYTES / 8;

const SIGBUS = 7;
const SIGSEGV = 11;
const SIGCHLD = 17;
const CLONE_FILES = 0x400;
const CLONE_PARENT = 0x8000;
const TRACE_OPTIONS = PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE;

/** Made once and kept: the program's file, and the memory that all driven processes share with us. */
interface Common {
  readonly programFd: number;
  readonly scratchFd: number;
  readonly scratch: Uint8Array;
}

let common: Common | undefined;

function openCommon(): Common {
  const programFd = memfdCreate("driven");
  writeSync(programFd, programImage());
  const scratchFd = memfdCreate("driven-scratch");
  writeSync(scratchFd, new Uint8Array(SCRATCH_BYTES)); // its pages exist, and are ours to pay for
  const pointer = mmap({
    lengthBytes: SCRATCH_BYTES,
    prot: PROT_READ | PROT_WRITE,
    flags: MAP_SHARED,
    fd: scratchFd,
  });
  return { programFd, scratchFd, scratch: new Uint8Array(viewOf(pointer, SCRATCH_BYTES)) };
}

// Every call sets all registers and reads them back: one set serves all processes.
const registers = newRegisters();
const registerWords = new Int32Array(registers.buffer);

/** What {@link registers} says, as a number: what fits one exactly. */
function registerValue(register: number): number {
  return registerWords[register * 2 + 1] * 2 ** 32 + (registerWords[register * 2] >>> 0);
}

const ARGUMENTS = [REG.rdi, REG.rsi, REG.rdx, REG.r10, REG.r8, REG.r9];

export class DrivenProcess implements Disposable {
  readonly pid: number;
  /** Segments, flags and stack, which no piece of code changes. */
  readonly #base: BigUint64Array;
  #hasEnded = false;

  private constructor(pid: number, base: BigUint64Array) {
    this.pid = pid;
    this.#base = base;
  }

  /**
   * Starts one. It has no open descriptor.
   *
   * @throws {LinuxError} where ptrace or the start of programs in memory is not permitted
   */
  static spawn(): DrivenProcess {
    common ??= openCommon();
    const scratchFd = syscall("dup", SYS.dup, [common.scratchFd]); // inherited, as ours is not
    let pid: number;
    try {
      pid = posixSpawn(`/proc/self/fd/${common.programFd}`, ["driven"]);
    } finally {
      closeSync(scratchFd);
    }
    const driven = new DrivenProcess(pid, newRegisters());
    try {
      seize(pid, TRACE_OPTIONS);
      interrupt(pid);
      driven.#expect((stop) => stop.kind === "event");
      getRegisters(pid, driven.#base);
      driven.#base[REG.orig_rax] = 2n ** 64n - 1n; // in no system call: none is started again
      const protection = PROT_READ | PROT_WRITE;
      const flags = MAP_SHARED | MAP_FIXED_NOREPLACE;
      driven.#must("mmap", SYS.mmap, SCRATCH_ADDRESS, SCRATCH_BYTES, protection, flags, scratchFd, 0);
      driven.#must("close_range", SYS.close_range, 0, 0xffff_ffff, 0);
      return driven;
    } catch (error) {
      driven[Symbol.dispose]();
      throw error;
    }
  }

  /** Memory that this process has at {@link SCRATCH_ADDRESS}; the same for all driven processes. */
  get scratch(): Uint8Array {
    return (common as Common).scratch;
  }

  /** Writes a C string to the scratch memory at an offset; returns its address in the process. */
  putString(text: string, offset = 0): number {
    this.scratch.set(new TextEncoder().encode(`${text}\0`), offset);
    return SCRATCH_ADDRESS + offset;
  }

  /** Makes a system call; returns its result, or minus errno. */
  syscall(number: number, ...args: readonly (number | bigint)[]): number {
    this.#setCall(number, args);
    this.#run(CODE_AT.call);
    return registerValue(REG.rax);
  }

  #setCall(number: number, args: readonly (number | bigint)[]): void {
    registers.set(this.#base);
    registers[REG.rax] = BigInt(number);
    for (let i = 0; i < args.length; i++) registers[ARGUMENTS[i]] = BigInt.asUintN(64, BigInt(args[i]));
  }

  /**
   * Makes a system call that may never return. undefined: it has worked for `cpuMs` (of the CPU's time, in the kernel)
   * and not come back; nothing can be done with the process then but to dispose of it.
   */
  syscallWithin(cpuMs: number, number: number, ...args: readonly (number | bigint)[]): number | undefined {
    this.#setCall(number, args);
    this.#start(CODE_AT.call);
    const before = kernelTimeMs(this.pid);
    let stop = pollForStop(this.pid);
    while (stop === undefined) {
      if (kernelTimeMs(this.pid) - before >= cpuMs) return undefined;
      Atomics.wait(sleeper, 0, 0, 1);
      stop = pollForStop(this.pid);
    }
    if (!isTrap(stop)) throw this.#endedFromOutside(stop);
    getRegisters(this.pid, registers);
    return registerValue(REG.rax);
  }

  /**
   * Stores `value` at `address`, and at the same place of each of the pages above.
   *
   * @throws {FaultSignal} at the first that the process may not write; it would have died, and goes on
   */
  storeU64(address: number, value: bigint, pages = 1): void {
    if (pages === 0) return;
    registers.set(this.#base);
    registers[REG.rdi] = BigInt(address);
    registers[REG.rsi] = value;
    registers[REG.rcx] = BigInt(pages);
    const signal = this.#run(CODE_AT.store);
    if (signal !== undefined) throw new FaultSignal(signal, registerValue(REG.rdi));
  }

  /** @throws {FaultSignal} if the process may not read there */
  loadU64(address: number): bigint {
    const values: bigint[] = [];
    this.loadPages(address, 1, values);
    return values[0];
  }

  /**
   * Appends what is at `address`, and at the same place of each of the pages above.
   *
   * @throws {FaultSignal} at the first that the process may not read; what is before is in `values`
   */
  loadPages(address: number, pages: number, values: bigint[]): void {
    for (let first = 0; first < pages; first += LOADED_MAX) {
      const count = Math.min(pages - first, LOADED_MAX);
      registers.set(this.#base);
      registers[REG.rdi] = BigInt(address + first * PAGE_SIZE);
      registers[REG.rsi] = BigInt(SCRATCH_ADDRESS);
      registers[REG.rcx] = BigInt(count);
      const signal = this.#run(CODE_AT.load);
      const loaded = (registerValue(REG.rsi) - SCRATCH_ADDRESS) / 8;
      values.push(...new BigUint64Array(this.scratch.buffer, 0, loaded));
      if (signal !== undefined) throw new FaultSignal(signal, registerValue(REG.rdi));
    }
  }

  /** A child of this process's memory. Parent and child share one table of descriptors. */
  fork(): DrivenProcess {
    registers.set(this.#base);
    registers[REG.rax] = BigInt(SYS.clone);
    registers[REG.rdi] = BigInt(CLONE_PARENT | CLONE_FILES | SIGCHLD); // our child, so that we can reap it
    registers[REG.rip] = BigInt(CODE_AT.call);
    setRegisters(this.pid, registers);
    resume(this.pid);
    const forked = (stop: Stop) =>
      stop.kind === "event" && (stop.event === PTRACE_EVENT_FORK || stop.event === PTRACE_EVENT_CLONE);
    const stop = this.#expect((stop) => forked(stop) || isTrap(stop));
    if (isTrap(stop)) {
      getRegisters(this.pid, registers);
      throw new LinuxError({ code: errnoNameOf(-registerValue(REG.rax)), call: `fork of ${this.pid}` });
    }
    const child = new DrivenProcess(getEventMessage(this.pid), this.#base);
    child.#expect(({ kind }) => kind === "event"); // it begins stopped, traced as its parent is
    for (const one of [child, this]) {
      resume(one.pid);
      one.#expect(isTrap);
    }
    return child;
  }

  /** A userfaultfd of this process's memory, which acts on its maker's; only we have it. No handshake is made. */
  createUserfaultfd(): Userfaultfd {
    const theirs = this.#must("userfaultfd", SYS.userfaultfd, USERFAULTFD_FLAGS);
    using pidfd = Pidfd.open(this.pid);
    try {
      return Userfaultfd.adopt(pidfd.getfd(theirs));
    } finally {
      this.syscall(SYS.close, theirs);
    }
  }

  /** The process ends by itself. */
  exit(): void {
    registers.set(this.#base);
    registers[REG.rax] = BigInt(SYS.exit_group);
    registers[REG.rdi] = 0n;
    registers[REG.rip] = BigInt(CODE_AT.call);
    setRegisters(this.pid, registers);
    resume(this.pid);
    this.#reap();
  }

  [Symbol.dispose](): void {
    if (this.#hasEnded) return;
    syscallRaw(SYS.kill, this.pid, SIGKILL); // ended already: there is still a status to take
    this.#reap();
  }

  #reap(): void {
    let stop: Stop;
    do stop = waitForStop(this.pid);
    while (stop.kind !== "exited" && stop.kind !== "killed");
    this.#hasEnded = true;
  }

  #must(call: string, number: number, ...args: readonly number[]): number {
    const result = this.syscall(number, ...args);
    if (result >= 0) return result;
    throw new LinuxError({ code: errnoNameOf(-result), call: `${call} in ${this.pid}` });
  }

  #start(code: number): void {
    registers[REG.rip] = BigInt(code);
    setRegisters(this.pid, registers);
    resume(this.pid);
  }

  /** Runs a piece of code up to its trap, or to the signal that an access got. */
  #run(code: number): SignalName | undefined {
    this.#start(code);
    const stop = this.#expect((stop) => isTrap(stop) || faultOf(stop) !== undefined);
    getRegisters(this.pid, registers);
    return faultOf(stop);
  }

  /**
   * Waits for a certain stop. Signals from elsewhere (a Ctrl-C at the terminal) are not for this process: it gets none.
   */
  #expect(isIt: (stop: Stop) => boolean): Stop {
    for (;;) {
      const stop = waitForStop(this.pid);
      if (isIt(stop)) return stop;
      if (stop.kind === "exited" || stop.kind === "killed") throw this.#endedFromOutside(stop);
      resume(this.pid);
    }
  }

  #endedFromOutside(stop: Stop): LinuxError {
    this.#hasEnded = true;
    const needs = `it was ended from outside (${JSON.stringify(stop)})`;
    return new LinuxError({ call: `driven process ${this.pid}`, needs });
  }
}

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** How long a process has worked in the kernel. Source: proc_pid_stat(5), which counts in ticks of 10 ms. */
function kernelTimeMs(pid: number): number {
  return Number(statFields(readProcFile(pid, "stat"))[15 - 3]) * 10;
}

function isTrap(stop: Stop): boolean {
  return stop.kind === "signal" && stop.signal === SIGTRAP;
}

function faultOf(stop: Stop): SignalName | undefined {
  if (stop.kind !== "signal") return undefined;
  return stop.signal === SIGSEGV ? "SIGSEGV" : stop.signal === SIGBUS ? "SIGBUS" : undefined;
}
