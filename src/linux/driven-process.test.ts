import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { lacking } from "../../test/support/requirement.ts";
import { FaultSignal } from "../abi/errno.ts";
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from "../abi/mman.ts";
import { DrivenProcess, SCRATCH_ADDRESS } from "./driven-process.ts";
import { SYS } from "./libc.ts";
import { LinuxError } from "./linux-error.ts";

const PAGE = 4096;
const AT = 0x1000_0000_0000;

/** Of x86-64; not among those that the library makes. */
const SYS_GETUID = 102;
const SYS_SETUID = 105;
const SYS_SETRLIMIT = 160;
const RLIMIT_NPROC = 6;

describe("a driven process", () => {
  let driven: DrivenProcess;
  const others: DrivenProcess[] = [];
  beforeEach((context) => {
    try {
      driven = DrivenProcess.spawn();
    } catch (error) {
      if (!(error instanceof LinuxError && error.code === "EPERM")) throw error;
      lacking(context, `needs ptrace of a child: ${error.message}`);
    }
  });
  afterEach(() => {
    for (const one of [driven, ...others.splice(0)]) one[Symbol.dispose]();
  });

  const map = (
    pages: number,
    { protection = PROT_READ | PROT_WRITE, sharing = MAP_PRIVATE, of = driven } = {},
  ) => of.syscall(SYS.mmap, AT, pages * PAGE, protection, sharing | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  const fork = (parent: DrivenProcess) => {
    const child = parent.fork();
    others.push(child);
    return child;
  };

  test("makes system calls of its own, with results and errors as numbers", () => {
    expect(driven.syscall(SYS.getpid)).toBe(driven.pid);
    expect(map(2)).toBe(AT);
    expect(driven.syscall(SYS.madvise, AT, PAGE, 999)).toBe(-22);
    expect(driven.syscall(SYS.munmap, AT + 1, PAGE)).toBe(-22);
  });

  test("a system call that does not return is told from one that does", () => {
    expect(driven.syscallWithin(100, SYS.getpid)).toBe(driven.pid);
    expect(map(2 ** 18)).toBe(AT); // 1 GiB of zeros keep the kernel busy for long enough
    const fd = driven.syscall(SYS.open, driven.putString("/dev/zero"), 0);
    expect(driven.syscallWithin(10, SYS.read, fd, AT, 2 ** 30)).toBeUndefined();
  });

  test("starts with no descriptor, and nothing where programs map", () => {
    expect(driven.syscall(SYS.close, 0)).toBe(-9);
    const starts = readFileSync(`/proc/${driven.pid}/maps`, "utf8")
      .trim()
      .split("\n")
      .map((line) => Number.parseInt(line, 16));
    expect(starts.filter((start) => start > 0x100_0000 && start < 0x7000_0000_0000)).toEqual([]);
  });

  test("shares its scratch memory with us", () => {
    driven.putString("/proc/self/stat", 64);
    const fd = driven.syscall(SYS.open, SCRATCH_ADDRESS + 64, 0);
    expect(fd).toBe(0);
    const read = driven.syscall(SYS.read, fd, SCRATCH_ADDRESS + 128, 64);
    expect(new TextDecoder().decode(driven.scratch.slice(128, 128 + read))).toMatch(`${driven.pid} (`);
  });

  test("stores and loads, a page each", () => {
    map(3);
    driven.storeU64(AT + 8, 2n ** 64n - 1n, 2);
    const values: bigint[] = [];
    driven.loadPages(AT + 8, 3, values);
    expect(values).toEqual([2n ** 64n - 1n, 2n ** 64n - 1n, 0n]);
    expect(driven.loadU64(AT)).toBe(0n);
    driven.storeU64(AT, 5n, 0);
    expect(driven.loadU64(AT)).toBe(0n);
  });

  test("loads more pages than its scratch memory holds values of", () => {
    const pages = 10_000;
    map(pages);
    driven.storeU64(AT + (pages - 1) * PAGE, 9n);
    const values: bigint[] = [];
    driven.loadPages(AT, pages, values);
    expect(values.length).toBe(pages);
    expect(values[pages - 1]).toBe(9n);
  });

  test("survives a fault: it stops at the first, and tells which and where", () => {
    map(4);
    driven.syscall(SYS.munmap, AT + 2 * PAGE, PAGE);
    expect(faultOf(() => driven.storeU64(AT, 3n, 4))).toMatchObject({
      signal: "SIGSEGV",
      address: AT + 2 * PAGE,
    });
    expect(driven.loadU64(AT + PAGE)).toBe(3n);
    expect(driven.loadU64(AT + 3 * PAGE)).toBe(0n);
    const values: bigint[] = [];
    expect(faultOf(() => driven.loadPages(AT + PAGE, 3, values))?.address).toBe(AT + 2 * PAGE);
    expect(values).toEqual([3n]);
    map(1, { protection: PROT_NONE });
    expect(faultOf(() => driven.loadU64(AT))?.signal).toBe("SIGSEGV");
  });

  test("gets SIGBUS beyond the end of an object", () => {
    const fd = driven.syscall(SYS.memfd_create, driven.putString("empty"), 0);
    driven.syscall(SYS.mmap, AT, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
    expect(faultOf(() => driven.loadU64(AT))).toMatchObject({ signal: "SIGBUS", address: AT });
    expect(driven.syscall(SYS.getpid)).toBe(driven.pid);
  });

  test("forks: private memory is copied, shared memory and descriptors are not", () => {
    map(1);
    driven.storeU64(AT, 1n);
    const child = fork(driven);
    child.storeU64(AT, 2n);
    expect([driven.loadU64(AT), child.loadU64(AT)]).toEqual([1n, 2n]);
    expect(child.syscall(SYS.getpid)).toBe(child.pid);
    expect(child.pid).not.toBe(driven.pid);
    map(1, { sharing: MAP_SHARED });
    const grandchild = fork(fork(driven));
    grandchild.storeU64(AT, 7n);
    expect(driven.loadU64(AT)).toBe(7n);
    const fd = child.syscall(SYS.memfd_create, child.putString("of the child"), 0);
    expect(driven.syscall(SYS.ftruncate, fd, PAGE)).toBe(0);
  });

  test("says so when it cannot fork, and goes on", () => {
    driven.scratch.fill(0, 0, 16); // a soft and a hard limit of no process
    driven.syscall(SYS_SETRLIMIT, RLIMIT_NPROC, SCRATCH_ADDRESS);
    if (driven.syscall(SYS_GETUID) === 0) driven.syscall(SYS_SETUID, 65534); // root is not limited
    expect(() => driven.fork()).toThrow(/^fork of \d+: EAGAIN/);
    expect(driven.syscall(SYS.getpid)).toBe(driven.pid);
  });

  test("a signal from elsewhere is not for it", () => {
    process.kill(driven.pid, "SIGINT");
    process.kill(driven.pid, "SIGTSTP");
    expect(driven.syscall(SYS.getpid)).toBe(driven.pid);
  });

  test("ends when told, and is reaped", () => {
    const child = fork(driven);
    child.exit();
    expect(existsSync(`/proc/${child.pid}`)).toBe(false);
    driven[Symbol.dispose]();
    driven[Symbol.dispose]();
    expect(existsSync(`/proc/${driven.pid}`)).toBe(false);
  });

  test("one that was killed says so", () => {
    process.kill(driven.pid, "SIGKILL");
    expect(() => driven.syscall(SYS.getpid)).toThrow(/driven process \d+|ptrace/);
    driven[Symbol.dispose]();
    expect(existsSync(`/proc/${driven.pid}`)).toBe(false);
  });
});

function faultOf(access: () => void): FaultSignal | undefined {
  try {
    access();
  } catch (error) {
    if (error instanceof FaultSignal) return error;
    throw error;
  }
  return undefined;
}
