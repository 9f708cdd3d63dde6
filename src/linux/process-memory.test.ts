// Of this process: the system calls don't mind.
import process from "node:process";
import { expect, test } from "vitest";
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "../abi/index.ts";
import { mmap, munmap, viewOf } from "./libc.ts";
import { readMemory, writeMemory } from "./process-memory.ts";

const PAGE = 4096;

/** A page, and behind it nothing. */
function withPage(check: (start: number, page: Uint8Array) => void): void {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS;
  const pointer = mmap({ lengthBytes: 2 * PAGE, prot: PROT_READ | PROT_WRITE, flags, fd: -1 });
  munmap(pointer + BigInt(PAGE), PAGE);
  try {
    check(Number(pointer), new Uint8Array(viewOf(pointer, PAGE)));
  } finally {
    munmap(pointer, PAGE);
  }
}

test("what is written is what is read", () => {
  withPage((start, page) => {
    writeMemory(process.pid, start + 10, Uint8Array.of(1, 2, 3));
    expect([...page.subarray(9, 14)]).toEqual([0, 1, 2, 3, 0]);
    const bytes = new Uint8Array(3);
    expect(readMemory(process.pid, start + 10, bytes)).toBe(3);
    expect([...bytes]).toEqual([1, 2, 3]);
  });
});

test("a read ends where the mapping does; a write must fit", () => {
  withPage((start) => {
    expect(readMemory(process.pid, start + 96, new Uint8Array(2 * PAGE))).toBe(PAGE - 96);
    expect(() => writeMemory(process.pid, start + PAGE - 8, new Uint8Array(16))).toThrow(
      /EFAULT: memory that/,
    );
    expect(() => readMemory(process.pid, start + PAGE, new Uint8Array(8))).toThrow(
      `process_vm_readv of process ${process.pid} at 0x${(start + PAGE).toString(16)}: EFAULT`,
    );
  });
});

test("a process that is not there is ESRCH", () => {
  expect(() => readMemory(2 ** 22 + 1, 4096, new Uint8Array(8))).toThrow(
    /ESRCH: a process that has not ended/,
  );
});
