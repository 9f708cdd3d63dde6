import { describe, expect, test } from "vitest";
import { interruptionRank, resumedInUserMode, undoInterruption, wasRunning } from "./interrupted-call.ts";
import { newRegisters, REG, type Registers } from "./ptrace.ts";

const RIP = 0x40_1000n;
const RESTART_SYSCALL = 219n;

interface Stopped {
  readonly call: number;
  /** What the kernel left in rax; a negative errno. */
  readonly result: number;
  /** rdi, rsi, rdx, r10, r8, r9 */
  readonly args?: readonly (number | bigint)[];
}

function stoppedIn({ call, result, args = [] }: Stopped): Registers {
  const registers = newRegisters();
  registers[REG.orig_rax] = BigInt.asUintN(64, BigInt(call));
  registers[REG.rax] = BigInt.asUintN(64, BigInt(result));
  registers[REG.rip] = RIP;
  [REG.rdi, REG.rsi, REG.rdx, REG.r10, REG.r8, REG.r9].forEach((register, index) => {
    registers[register] = BigInt.asUintN(64, BigInt(args[index] ?? 0));
  });
  return registers;
}

describe("what goes on in user mode after rt_sigreturn", () => {
  test.each([
    ["read, -ERESTARTSYS", { call: 0, result: -512 }, 0n],
    ["futex, -ERESTARTNOINTR", { call: 202, result: -513 }, 202n],
    ["pause, -ERESTARTNOHAND", { call: 34, result: -514 }, 34n],
    ["nanosleep, by its restart block", { call: 35, result: -516 }, RESTART_SYSCALL],
    [
      "poll with a limit, by its restart block",
      { call: 7, result: -516, args: [0, 0, 100] },
      RESTART_SYSCALL,
    ],
    ["poll without limit, which may begin again", { call: 7, result: -516, args: [0, 0, -1] }, 7n],
    ["poll without limit, as a 32-bit argument", { call: 7, result: -516, args: [0, 0, 0xffff_ffff] }, 7n],
    ["futex, relative", { call: 202, result: -516, args: [0, 0x80, 0, 1] }, RESTART_SYSCALL],
    ["futex until a point in time", { call: 202, result: -516, args: [0, 0x89, 0, 1] }, 202n],
    ["clock_nanosleep, relative", { call: 230, result: -516 }, RESTART_SYSCALL],
    ["restart_syscall itself", { call: 219, result: -516 }, RESTART_SYSCALL],
  ] satisfies [string, Stopped, bigint][])("%s: the call again", (_, stopped, rax) => {
    const resumed = resumedInUserMode(stoppedIn(stopped));
    expect(resumed[REG.rax]).toBe(rax);
    expect(resumed[REG.rip]).toBe(RIP - 2n);
  });

  test.each([
    ["a call that is done", { call: 0, result: 17 }],
    ["one that failed", { call: 0, result: -9 }],
    ["one that was ended by a handler", { call: 232, result: -4 }],
    ["code that was interrupted, whatever is in rax", { call: -1, result: -512 }],
  ] satisfies [string, Stopped][])("%s: nothing again", (_, stopped) => {
    const registers = stoppedIn(stopped);
    expect(resumedInUserMode(registers)).toEqual(registers);
    expect(resumedInUserMode(registers)).not.toBe(registers);
  });
});

describe("a call that a stop ends with EINTR", () => {
  test.each([
    ["epoll_wait", { call: 232, result: -4, args: [3, 1, 1, -1] }],
    ["epoll_pwait", { call: 281, result: -4, args: [3, 1, 1, -1] }],
    ["epoll_pwait2", { call: 441, result: -4, args: [3, 1, 1, 0] }],
    ["semop", { call: 65, result: -4 }],
    ["rt_sigtimedwait", { call: 128, result: -4, args: [1, 1, 0] }],
    ["io_getevents", { call: 208, result: -4 }],
  ] satisfies [string, Stopped][])("%s without a limit of time is made again", (_, stopped) => {
    const registers = stoppedIn(stopped);
    expect(undoInterruption(registers)).toBe(true);
    expect(BigInt.asIntN(64, registers[REG.rax])).toBe(-514n);
    expect(registers[REG.orig_rax]).toBe(BigInt(stopped.call));
    expect(registers[REG.rip]).toBe(RIP);
  });

  test.each([
    ["epoll_wait with a limit", { call: 232, result: -4, args: [3, 1, 1, 1000] }],
    ["epoll_wait that has an event", { call: 232, result: 1, args: [3, 1, 1, -1] }],
    ["semtimedop with a limit", { call: 220, result: -4, args: [0, 0, 0, 1] }],
    ["read, which would not return EINTR for a stop", { call: 0, result: -4 }],
    ["no call", { call: -1, result: -4 }],
  ] satisfies [string, Stopped][])("%s is left alone", (_, stopped) => {
    const registers = stoppedIn(stopped);
    expect(undoInterruption(registers)).toBe(false);
    expect(registers).toEqual(stoppedIn(stopped));
  });
});

test("a thread is best stopped where nobody notices", () => {
  expect(interruptionRank(0, [])).toBe(0); // read
  expect(interruptionRank(202, [0, 0x189, 0, 1])).toBe(0); // pthread_cond_timedwait
  expect(interruptionRank(undefined, [])).toBe(1); // running
  expect(interruptionRank(130, [])).toBe(2); // sigsuspend
  expect(interruptionRank(271, [0, 0, 0, 1])).toBe(2); // ppoll with a mask
  expect(interruptionRank(271, [0, 0, 0, 0])).toBe(0);
  expect(interruptionRank(35, [])).toBe(3); // nanosleep
  expect(interruptionRank(232, [3, 1, 1, 0xffff_ffff])).toBe(3); // epoll_wait, no limit
  expect(interruptionRank(232, [3, 1, 1, 1000])).toBe(4);
});

test("a thread ran, or was in a call", () => {
  expect(wasRunning(stoppedIn({ call: -1, result: 5 }))).toBe(true);
  expect(wasRunning(stoppedIn({ call: 0, result: 5 }))).toBe(false);
});
