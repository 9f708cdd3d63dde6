import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { lacking } from "../../test/support/requirement.ts";
import { newRegisters, REG } from "./ptrace.ts";
import { runsOnAlternateStack, signalFrame } from "./signal-frame.ts";

const RESTORER = 0x7f00_1234_5678;
/**
 * As PTRACE_GETREGSET gives it on a CPU with AVX-512: 2,696 bytes, and the mask of its parts in the first
 * software word.
 */
const XSTATE_BYTES = 2696;
const XCR0 = 0x2e7n;

function xstate(inUse: bigint, seed = 1): Uint8Array {
  const bytes = Uint8Array.from({ length: XSTATE_BYTES }, (_, i) => (i * 31 + seed) & 0xff);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(464, XCR0, true);
  view.setBigUint64(512, inUse, true);
  return bytes;
}

/** Every register different. */
function someRegisters() {
  return newRegisters().map((_, index) => 0x1111_0000_0000n + BigInt(index));
}

function frameOf(inUse: bigint, below = 0x7fff_0000_1000) {
  const options = {
    registers: someRegisters(),
    signalMask: 0xabcdn,
    xstate: xstate(inUse),
    restorer: RESTORER,
    below,
  };
  const { address, bytes } = signalFrame(options);
  return { ...options, address, bytes, view: new DataView(bytes.buffer) };
}

describe("a frame", () => {
  test("lies below, aligned as the kernel and XRSTOR want it", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2 ** 20, max: 2 ** 47 }),
        fc.constantFrom(3n, 7n, 0xe7n),
        (below, inUse) => {
          const { address, bytes, view } = frameOf(inUse, below);
          expect(address % 16).toBe(8);
          expect(address + bytes.length).toBeLessThanOrEqual(below);
          expect(address + bytes.length).toBeGreaterThan(below - 64);
          const fpstate = Number(view.getBigUint64(48 + 184, true));
          expect(fpstate % 64).toBe(0);
          expect(fpstate).toBeGreaterThanOrEqual(address + 312);
        },
      ),
    );
  });

  test("returns to the restorer, and has the thread's mask", () => {
    const { view } = frameOf(3n);
    expect(view.getBigUint64(0, true)).toBe(BigInt(RESTORER));
    expect(view.getBigUint64(304, true)).toBe(0xabcdn);
  });

  test.each([
    ["nothing but x87 and SSE", 0b011n, 576, 0b011n],
    ["AVX too", 0b111n, 832, 0b111n],
    ["all of AVX-512", 0xe7n, XSTATE_BYTES, XCR0],
    ["protection keys, which lie at the end", 0x203n, XSTATE_BYTES, XCR0],
  ])("has of the vector registers what is in use: %s", (_, inUse, lengthBytes, features) => {
    const { view, bytes, address, xstate: given } = frameOf(inUse);
    const area = Number(view.getBigUint64(48 + 184, true)) - address;
    expect(view.getUint32(area + 464, true)).toBe(0x4650_5853);
    expect(view.getUint32(area + 468, true)).toBe(lengthBytes + 4);
    expect(view.getBigUint64(area + 472, true)).toBe(features);
    expect(view.getUint32(area + 480, true)).toBe(lengthBytes);
    expect(view.getUint32(area + lengthBytes, true)).toBe(0x4650_5845);
    expect(bytes.length).toBe(area + lengthBytes + 4);
    expect(bytes.subarray(area, area + 464)).toEqual(given.subarray(0, 464));
    expect(bytes.subarray(area + 512, area + lengthBytes)).toEqual(given.subarray(512, lengthBytes));
  });
});

test("registers stand where this system's headers have them", (context) => {
  const fields = [
    "R8",
    "R9",
    "R10",
    "R11",
    "R12",
    "R13",
    "R14",
    "R15",
    "RDI",
    "RSI",
    "RBP",
    "RBX",
    "RDX",
    "RAX",
    "RCX",
    "RSP",
    "RIP",
  ];
  const source = `
    #define _GNU_SOURCE
    #include <stddef.h>
    #include <stdio.h>
    #include <ucontext.h>
    #define show(field) printf("%zu ", offsetof(ucontext_t, field))
    int main(void) {
      ${fields.map((name) => `show(uc_mcontext.gregs[REG_${name}]);`).join("\n")}
      show(uc_mcontext.gregs[REG_EFL]);
      show(uc_mcontext.gregs[REG_CSGSFS]);
      show(uc_mcontext.fpregs);
      show(uc_sigmask);
      show(uc_stack.ss_flags);
      return 0; }`;
  const folder = mkdtempSync(join(tmpdir(), "ptemark-frame-"));
  let offsets: number[];
  try {
    const program = join(folder, "offsets");
    const built = spawnSync("cc", ["-x", "c", "-o", program, "-"], { input: source, encoding: "utf8" });
    if (built.status !== 0) lacking(context, "needs a C compiler (cc)");
    offsets = spawnSync(program, { encoding: "utf8" }).stdout.trim().split(" ").map(Number);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const { view, registers, address, bytes } = frameOf(3n);
  // The ucontext is behind the return address.
  const at = (index: number) => view.getBigUint64(8 + offsets[index], true);
  fields.forEach((name, index) => {
    expect(at(index), name).toBe(registers[REG[name.toLowerCase() as keyof typeof REG]]);
  });
  expect(at(17)).toBe(registers[REG.eflags]);
  expect(at(18) & 0xffffn).toBe(registers[REG.cs] & 0xffffn);
  expect(at(18) >> 48n).toBe(registers[REG.ss] & 0xffffn);
  expect(Number(at(19))).toBe(address + bytes.length - 576 - 4);
  expect(at(20)).toBe(0xabcdn);
  expect(view.getInt32(8 + offsets[21], true)).toBe(0x7fff_ffff);
});

describe("whether a handler runs on an alternate stack", () => {
  const stackPointer = 0x7f00_0000_1000;
  function above(start: number, lengthBytes: number, restorer = RESTORER): Uint8Array {
    const { bytes, view } = frameOf(3n);
    view.setBigUint64(0, BigInt(restorer), true);
    view.setBigUint64(24, BigInt(start), true);
    view.setBigUint64(40, BigInt(lengthBytes), true);
    view.setUint16(48 + 144, 0x33, true);
    const memory = new Uint8Array(8192);
    memory.set(bytes, 1000);
    return memory;
  }

  test("it does if a frame above says so", () => {
    expect(runsOnAlternateStack(above(stackPointer - 4096, 65_536), stackPointer, RESTORER)).toBe(true);
  });

  test("it does not if the frame's alternate stack is elsewhere, or none is set", () => {
    expect(runsOnAlternateStack(above(stackPointer + 4096, 65_536), stackPointer, RESTORER)).toBe(false);
    expect(runsOnAlternateStack(above(stackPointer - 65_536, 4096), stackPointer, RESTORER)).toBe(false);
    expect(runsOnAlternateStack(above(0, 0), stackPointer, RESTORER)).toBe(false);
  });

  test("it does not for the restorer's address alone, which sigaction leaves on the stack", () => {
    const memory = above(stackPointer - 4096, 65_536);
    const view = new DataView(memory.buffer);
    for (const [offset, value] of [
      [8, 8n],
      [16, 1n],
      [48 + 144, 0x2bn],
    ] as const) {
      const right = view.getBigUint64(1000 + offset, true);
      view.setBigUint64(1000 + offset, value, true);
      expect(runsOnAlternateStack(memory, stackPointer, RESTORER)).toBe(false);
      view.setBigUint64(1000 + offset, right, true);
    }
    expect(runsOnAlternateStack(memory, stackPointer, RESTORER)).toBe(true);
  });

  test("it does not if there is no frame, or only the start of one", () => {
    expect(runsOnAlternateStack(new Uint8Array(8192), stackPointer, RESTORER)).toBe(false);
    expect(runsOnAlternateStack(above(stackPointer - 4096, 65_536, 1), stackPointer, RESTORER)).toBe(false);
    const whole = above(stackPointer - 4096, 65_536);
    expect(runsOnAlternateStack(whole.subarray(0, 1100), stackPointer, RESTORER)).toBe(false);
  });
});
