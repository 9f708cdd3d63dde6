import { describe, expect, test } from "vitest";
import { parseMaps } from "./maps.ts";
import { chooseThreads, ownStack, threadRefusal } from "./target-threads.ts";

describe("a thread is refused, by its status,", () => {
  test.each([
    ["that has ended", { State: "Z (zombie)" }, /zombie/],
    ["that another process traces", { State: "t (tracing stop)", TracerPid: "77" }, /process 77 traces it/],
    ["under a seccomp filter", { State: "S (sleeping)", Seccomp: "2" }, /seccomp filter/],
    ["under strict seccomp", { State: "R (running)", Seccomp: "1" }, /strict mode/],
    ["with a shadow stack", { State: "S (sleeping)", x86_Thread_features: "shstk wrss" }, /shadow stack/],
  ])("%s", (_, status, reason) => {
    expect(threadRefusal(status)).toMatch(reason);
  });

  test("but not one like any other", () => {
    const status = { State: "S (sleeping)", TracerPid: "0", Seccomp: "0", x86_Thread_features: "" };
    expect(threadRefusal(status)).toBeUndefined();
    expect(threadRefusal({ State: "T (stopped)" })).toBeUndefined();
  });

  test("and force overrules a filter, but nothing else", () => {
    expect(threadRefusal({ Seccomp: "2" }, { force: true })).toBeUndefined();
    expect(threadRefusal({ Seccomp: "1" }, { force: true })).toMatch(/strict/);
    expect(threadRefusal({ x86_Thread_features: "shstk" }, { force: true })).toMatch(/shadow/);
  });
});

test("of a process that is not there no thread can be chosen", () => {
  expect(() => chooseThreads(2 ** 22 + 1, {})).toThrow(/ESRCH/);
});

describe("a thread's own stack", () => {
  const maps = parseMaps(`
555555554000-555555560000 r-xp 00000000 fe:00 1234                       /usr/bin/program
555555560000-555555580000 rw-p 00000000 00:00 0                          [heap]
7ffff0000000-7ffff0001000 ---p 00000000 00:00 0
7ffff0001000-7ffff0801000 rw-p 00000000 00:00 0
7ffff1000000-7ffff1800000 rw-p 00000000 00:00 0
7ffff2000000-7ffff2001000 ---p 00000000 00:00 0
7ffff2001000-7ffff2801000 rw-s 00000000 00:01 77                         /dev/zero (deleted)
7ffffffdd000-7ffffffff000 rw-p 00000000 00:00 0                          [stack]
`);
  const main = { stackPointer: 0x7fff_ffff_e000, fsBase: 0x7fff_f7c0_0000, isMain: true };

  test("of the first thread is the kernel's", () => {
    expect(ownStack(maps, main)?.path).toBe("[stack]");
    expect(ownStack(maps, { ...main, isMain: false })).toBeUndefined();
  });

  test("of another lies on a guard and has its control block above", () => {
    const other = { stackPointer: 0x7fff_f07f_0000, fsBase: 0x7fff_f080_0700, isMain: false };
    expect(ownStack(maps, other)?.start).toBe(0x7fff_f000_1000);
    expect(ownStack(maps, { ...other, fsBase: 0x7fff_f07e_0000 })).toBeUndefined(); // below the stack pointer
    expect(ownStack(maps, { ...other, fsBase: 0x7fff_f7c0_0000 })).toBeUndefined(); // elsewhere: a coroutine
  });

  test("is none that has no guard, is shared, is the heap, or is not mapped", () => {
    const at = (stackPointer: number) => ({ stackPointer, fsBase: stackPointer + 0x100, isMain: false });
    expect(ownStack(maps, at(0x7fff_f17f_0000))).toBeUndefined();
    expect(ownStack(maps, at(0x7fff_f27f_0000))).toBeUndefined();
    expect(ownStack(maps, at(0x5555_5557_0000))).toBeUndefined();
    expect(ownStack(maps, at(0x1000))).toBeUndefined();
  });
});
