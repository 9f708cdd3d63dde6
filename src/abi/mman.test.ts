import { expect, test } from "vitest";
import * as mman from "./mman.ts";

test("protections are three single bits", () => {
  expect(mman.PROT_NONE).toBe(0);
  expect([mman.PROT_READ, mman.PROT_WRITE, mman.PROT_EXEC]).toEqual([1, 2, 4]);
});

test("mapping flags do not overlap, but for the type, which is a number of its own", () => {
  const MAP_TYPE = 0x0f;
  const flags = [mman.MAP_FIXED, mman.MAP_ANONYMOUS, mman.MAP_FIXED_NOREPLACE];
  for (const flag of flags) expect(flag & (flag - 1)).toBe(0);
  expect(new Set(flags).size).toBe(flags.length);
  for (const flag of flags) expect(flag & MAP_TYPE).toBe(0);
  expect([mman.MAP_SHARED, mman.MAP_PRIVATE]).toEqual([1, 2]);
});

test("each advice has a number of its own", () => {
  const numbers = Object.values(mman.MADV);
  expect(new Set(numbers).size).toBe(numbers.length);
});

test("user addresses end one guard page below 2^47", () => {
  expect(mman.PAGE_SIZE).toBe(2 ** mman.PAGE_SHIFT);
  expect(mman.TASK_SIZE).toBe(2 ** 47 - mman.PAGE_SIZE);
});
