import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fill, PAGE, testKernel, wrongPages } from "../../../test/support/model.ts";
import { ConfigError } from "../config.ts";
import { Kernel } from "../kernel.ts";
import { ChunkedPageStore, NoPageStore } from "../page-store.ts";
import { FileSwapDevice } from "./file.ts";

/** Pages that the device reads and writes at once. */
const WINDOW = 256;

let folder = "";
let path = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ptemark-swap-"));
  path = join(folder, "swap");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const filled = (value: number): Uint8Array => new Uint8Array(PAGE).fill(value);

function write(device: FileSwapDevice, slot: number, value: number): void {
  const pages = new ChunkedPageStore(1);
  pages.bytes(0).fill(value);
  device.write(slot, pages, 0);
}

/** The byte that fills the slot; -1 if the slot's bytes differ. */
function read(device: FileSwapDevice, slot: number): number {
  const pages = new ChunkedPageStore(1);
  pages.bytes(0).fill(0xee);
  device.read(slot, pages, 0);
  const [first] = pages.bytes(0);
  return pages.bytes(0).every((byte) => byte === first) ? first : -1;
}

describe("a swap file", () => {
  test.each([1, 0, -1, 2.5, Number.NaN, Infinity])("of %d slots is refused, and no file is made", (slots) => {
    expect(() => new FileSwapDevice({ path, slots })).toThrow(
      new ConfigError(`swap file ${path}: slots ${slots} must be an integer from 2`),
    );
    expect(existsSync(path)).toBe(false);
  });

  test("that can't be opened is an error that names it", () => {
    expect(() => new FileSwapDevice({ path: join(folder, "no", "swap"), slots: 2 })).toThrow(/ENOENT.*swap/);
  });

  test("is as large as its slots, sparse at first, and reads as zeros", () => {
    using device = new Closing(new FileSwapDevice({ path, slots: 10_000 }));
    expect(statSync(path).size).toBe(10_000 * PAGE);
    expect(statSync(path).blocks * 512).toBeLessThan(PAGE * 100);
    for (const slot of [0, 1, WINDOW - 1, WINDOW, 9_999]) expect(read(device.it, slot)).toBe(0);
  });

  test.each([2, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW + 5])(
    "of %i slots keeps its first and last slot, and those where windows meet",
    (slots) => {
      using device = new Closing(new FileSwapDevice({ path, slots }));
      const some = [0, 1, WINDOW - 1, WINDOW, 2 * WINDOW, slots - 1].filter((slot) => slot < slots);
      for (const slot of some) write(device.it, slot, slot + 1);
      for (const slot of some) expect(read(device.it, slot), `slot ${slot}`).toBe((slot + 1) & 255);
    },
  );

  test("gives back, over any writes and reads near and far, what was written last; and has it when closed", () => {
    const slots = 3 * WINDOW + 10;
    const anySlot = fc.oneof(
      fc.nat(6),
      fc.nat(12).map((offset) => WINDOW - 6 + offset),
      fc.nat(5).map((offset) => slots - 6 + offset),
      fc.nat(slots - 1),
    );
    const operation = fc.record({ isWrite: fc.boolean(), slot: anySlot, value: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60, size: "max" }), (operations) => {
        const device = new FileSwapDevice({ path, slots, temporary: false });
        const naive = new Map<number, number>();
        for (const { isWrite, slot, value } of operations) {
          if (isWrite) {
            write(device, slot, value);
            naive.set(slot, value);
          } else expect(read(device, slot), `slot ${slot}`).toBe(naive.get(slot) ?? 0);
        }
        device.close();
        const bytes = readFileSync(path);
        expect(bytes.length).toBe(slots * PAGE);
        for (const [slot, value] of naive)
          expect(bytes.subarray(slot * PAGE, (slot + 1) * PAGE).equals(filled(value)), `slot ${slot}`).toBe(
            true,
          );
        rmSync(path);
      }),
      { numRuns: 60 },
    );
  });

  test("runs of writes, up and down, with gaps, are all there", () => {
    using device = new Closing(new FileSwapDevice({ path, slots: 2 * WINDOW }));
    const up = Array.from({ length: 20 }, (_, i) => 10 + i);
    const down = Array.from({ length: 20 }, (_, i) => 120 - i);
    const gaps = [200, 202, 204, 203, 201, 255, 256, 257];
    for (const slot of [...up, ...down, ...gaps]) write(device.it, slot, slot & 255);
    for (const slot of [...gaps, ...down, ...up])
      expect(read(device.it, slot), `slot ${slot}`).toBe(slot & 255);
    expect(read(device.it, 90)).toBe(0);
  });

  test.each([
    ["below", 20, 10],
    ["above", 10, 20],
  ])("keeps what lies between two writes of which the second is %s the first", (_, first, second) => {
    using device = new Closing(new FileSwapDevice({ path, slots: 3 * WINDOW }));
    for (let slot = 10; slot <= 20; slot++) write(device.it, slot, slot);
    // Away and back, so that the window knows nothing of these slots.
    write(device.it, 2 * WINDOW, 1);
    write(device.it, first, 101);
    write(device.it, second, 102);
    read(device.it, 2 * WINDOW);
    const between = Array.from({ length: 9 }, (_, i) => 11 + i);
    expect(between.map((slot) => read(device.it, slot))).toEqual(between);
    expect([read(device.it, first), read(device.it, second)]).toEqual([101, 102]);
  });

  test("that was there is opened with what it has, and extended if it is too small", () => {
    writeFileSync(path, Buffer.concat([filled(1), filled(2), filled(3)]));
    using device = new Closing(new FileSwapDevice({ path, slots: 300 }));
    expect([0, 1, 2, 3, 299].map((slot) => read(device.it, slot))).toEqual([1, 2, 3, 0, 0]);
    expect(statSync(path).size).toBe(300 * PAGE);
  });

  test("that is larger than its slots is not cut", () => {
    writeFileSync(path, Buffer.alloc(5 * PAGE, 9));
    const device = new FileSwapDevice({ path, slots: 2 });
    write(device, 1, 8);
    device.close();
    expect(readFileSync(path).subarray(2 * PAGE)).toEqual(Buffer.alloc(3 * PAGE, 9));
  });

  test("has, opened again, what was written before it was closed", () => {
    const first = new FileSwapDevice({ path, slots: 10, temporary: false });
    write(first, 3, 33);
    first.close();
    expect(existsSync(path)).toBe(true);
    using second = new Closing(new FileSwapDevice({ path, slots: 10 }));
    expect(read(second.it, 3)).toBe(33);
  });

  test("is removed on close if it was made for this; one that was there before stays, even empty", () => {
    new FileSwapDevice({ path, slots: 2 }).close();
    expect(existsSync(path)).toBe(false);
    writeFileSync(path, "");
    new FileSwapDevice({ path, slots: 2 }).close();
    expect(existsSync(path)).toBe(true);
  });

  test("can be closed twice", () => {
    const device = new FileSwapDevice({ path, slots: 2 });
    device.close();
    device.close();
    expect(existsSync(path)).toBe(false);
  });

  test("does nothing for pages without contents", () => {
    using device = new Closing(new FileSwapDevice({ path, slots: 4 }));
    write(device.it, 1, 5);
    device.it.write(1, new NoPageStore(), 0);
    device.it.read(1, new NoPageStore(), 0);
    expect(read(device.it, 1)).toBe(5);
  });

  test("serves a kernel: every page comes back from it, and swapoff removes it", () => {
    const kernel = testKernel({ memoryPages: 64, swapPages: [] });
    const area = kernel.swapon(new FileSwapDevice({ path, slots: 1000 }));
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 500 * PAGE, write: true });
    fill(process, address, 500);
    expect(wrongPages(process, address, 500)).toEqual([]);
    expect(kernel.vmstat.pswpout).toBeGreaterThan(400);
    process.munmap(address + 20 * PAGE, 480 * PAGE);
    expect(kernel.swapoff(area)).toBe(true);
    expect(existsSync(path)).toBe(false);
    expect(wrongPages(process, address, 20)).toEqual([]);
  });

  test("may be one area beside another", () => {
    const kernel = new Kernel({
      memoryPages: 32,
      swap: [new FileSwapDevice({ path, slots: 50 }), new FileSwapDevice({ path: `${path}2`, slots: 500 })],
    });
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 200 * PAGE, write: true });
    fill(process, address, 200);
    expect(kernel.swap.areas.map((area) => area.usedSlots > 0)).toEqual([true, true]);
    expect(wrongPages(process, address, 200)).toEqual([]);
    for (const area of kernel.swap.areas) area.device.close();
  });
});

/** A device that is closed at the end of the block. */
class Closing {
  readonly it: FileSwapDevice;

  constructor(it: FileSwapDevice) {
    this.it = it;
  }

  [Symbol.dispose](): void {
    this.it.close();
  }
}
