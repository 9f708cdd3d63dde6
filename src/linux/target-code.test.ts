import process from "node:process";
import { expect, test } from "vitest";
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE } from "../abi/index.ts";
import { mmap, munmap, viewOf } from "./libc.ts";
import { type MapsEntry, readMaps } from "./maps.ts";
import { findTargetCode, hasTargetCode } from "./target-code.ts";

const SYSCALL_RETURN = [0x0f, 0x05, 0xc3];
const RESTORER = [0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05];
const CODE_BYTES = 2 ** 19;

/** A mapping of ours, as code, with these bytes in it. */
function withCode(
  pieces: readonly (readonly [number, readonly number[]])[],
  check: (entry: MapsEntry) => void,
) {
  const prot = PROT_READ | PROT_WRITE | PROT_EXEC;
  const pointer = mmap({ lengthBytes: CODE_BYTES, prot, flags: MAP_PRIVATE | MAP_ANONYMOUS, fd: -1 });
  try {
    const bytes = new Uint8Array(viewOf(pointer, CODE_BYTES));
    for (const [at, piece] of pieces) bytes.set(piece, at);
    const start = Number(pointer);
    check({ ...readMaps(process.pid)[0], start, end: start + CODE_BYTES, exec: true, read: true, path: "" });
  } finally {
    munmap(pointer, CODE_BYTES);
  }
}

test("both are found, wherever they lie, across the pieces that are read", () => {
  for (const at of [0, 5000, 2 ** 18 - 12, 2 ** 18 - 9, 2 ** 18 - 5, 2 ** 18 - 1, 2 ** 18, CODE_BYTES - 9]) {
    const other = at === 0 ? 100 : 0;
    withCode(
      [
        [at, RESTORER],
        [other, SYSCALL_RETURN],
      ],
      (entry) => {
        const code = findTargetCode(process.pid, [entry]);
        expect(code).toEqual({ syscallReturn: entry.start + other, restorer: entry.start + at });
        expect(hasTargetCode(process.pid, code!)).toBe(true);
      },
    );
  }
});

test("one of them is not enough", () => {
  withCode([[100, RESTORER]], (entry) => expect(findTargetCode(process.pid, [entry])).toBeUndefined());
  withCode([[100, SYSCALL_RETURN]], (entry) => expect(findTargetCode(process.pid, [entry])).toBeUndefined());
});

test("they may lie in two mappings; what is not code does not count", () => {
  withCode([[64, RESTORER]], (one) => {
    withCode([[32, SYSCALL_RETURN]], (two) => {
      expect(findTargetCode(process.pid, [one, two])).toEqual({
        syscallReturn: two.start + 32,
        restorer: one.start + 64,
      });
      expect(findTargetCode(process.pid, [one, { ...two, exec: false }])).toBeUndefined();
    });
  });
});

test("code that is gone is noticed", () => {
  let code = { syscallReturn: 0, restorer: 0 };
  withCode(
    [
      [100, RESTORER],
      [0, SYSCALL_RETURN],
    ],
    (entry) => {
      code = findTargetCode(process.pid, [entry])!;
      expect(hasTargetCode(process.pid, { ...code, restorer: code.restorer + 1 })).toBe(false);
    },
  );
  expect(hasTargetCode(process.pid, code)).toBe(false);
});

test("a process with a libc has both, in code", () => {
  const maps = readMaps(process.pid);
  const code = findTargetCode(process.pid, maps)!;
  expect(hasTargetCode(process.pid, code)).toBe(true);
  for (const address of [code.syscallReturn, code.restorer])
    expect(maps.find(({ start, end }) => address >= start && address < end)?.exec).toBe(true);
});
