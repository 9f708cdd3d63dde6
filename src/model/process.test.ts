import { describe, expect, test } from "vitest";
import { failure, fill, PAGE, pagemap, pattern, testKernel, wrongPages } from "../../test/support/model.ts";
import type { Process } from "./process.ts";

function anonymous(pages: number) {
  const kernel = testKernel();
  const process = kernel.createProcess();
  const address = process.mmap({ lengthBytes: pages * PAGE, write: true });
  return { kernel, process, address };
}

describe("loads and stores", () => {
  test("of a u64 keep all 64 bits, little-endian in memory", () => {
    const { process, address } = anonymous(1);
    const values = [
      0n,
      1n,
      0xffff_ffffn,
      0x1_0000_0000n,
      0x8000_0000_0000_0000n,
      2n ** 64n - 1n,
      0x0123_4567_89ab_cdefn,
    ];
    for (const [i, value] of values.entries()) process.storeU64(address + i * 8, value);
    expect(values.map((_, i) => process.loadU64(address + i * 8))).toEqual(values);
    const bytes = new Uint8Array(8);
    process.readBytes(address + 6 * 8, bytes);
    expect([...bytes]).toEqual([0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01]);
    process.storeU64(address, 2n ** 64n + 5n);
    process.storeU64(address + 8, -1n);
    expect([process.loadU64(address), process.loadU64(address + 8)]).toEqual([5n, 2n ** 64n - 1n]);
  });

  test("of bytes may start and end anywhere and cross pages and areas", () => {
    const { process, address } = anonymous(4);
    process.mprotect(address + 2 * PAGE, 2 * PAGE, { write: true, exec: true });
    expect(process.mm.vmas).toHaveLength(2);
    const bytes = new Uint8Array([...pattern(0), ...pattern(1), ...pattern(2)]).subarray(0, 2 * PAGE + 5);
    process.writeBytes(address + PAGE - 3, bytes);
    const back = new Uint8Array(bytes.length);
    process.readBytes(address + PAGE - 3, back);
    expect(back).toEqual(bytes);
    expect(process.loadU64(address)).toBe(0n);
    process.readBytes(address, new Uint8Array(0));
  });

  test("that run into a fatal fault have done what lies before it", () => {
    const { process, address } = anonymous(2);
    process.mprotect(address + PAGE, PAGE, {});
    const bytes = new Uint8Array(PAGE + 8).fill(7);
    expect(() => process.writeBytes(address + PAGE - 8, bytes.subarray(0, 16))).toThrow(
      expect.objectContaining({ name: "FaultSignal", signal: "SIGSEGV", address: address + PAGE }),
    );
    expect(process.loadU64(address + PAGE - 8)).toBe(0x0707_0707_0707_0707n);
    expect(process.loadU64(address + PAGE)).toBe(0n);
  });

  test("can be had of whole ranges, one a page, changing no byte", () => {
    const { kernel, process, address } = anonymous(6);
    fill(process, address, 2);
    process.touchRead(address + 2 * PAGE, 2 * PAGE);
    process.touchWrite(address, PAGE);
    process.touchWrite(address + 4 * PAGE, 2 * PAGE);
    expect(pagemap(process, address, 6)).toEqual(["103", "103", "101", "101", "103", "103"]);
    expect([wrongPages(process, address, 2), process.loadU64(address + 4 * PAGE)]).toEqual([[], 0n]);
    expect(kernel.vmstat.pgfault).toBe(6);
  });

  test("without contents load zeros, and otherwise do as with them", () => {
    const kernel = testKernel({ contents: false });
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 2 * PAGE, write: true });
    process.storeU64(address, 7n);
    process.writeBytes(address + PAGE, pattern(1));
    const bytes = new Uint8Array(8).fill(9);
    process.readBytes(address + PAGE, bytes);
    expect([process.loadU64(address), pagemap(process, address, 2)]).toEqual([0n, ["103", "103"]]);
    expect(kernel.memoryUse().contentsBytes).toBe(0);
  });
});

describe("an error of a system call", () => {
  test("has the kernel's name and number, and says which call it was", () => {
    const { process, address } = anonymous(1);
    expect(() => process.munmap(address + 1, PAGE)).toThrow(
      expect.objectContaining({ name: "Errno", code: "EINVAL", errno: 22, syscall: "munmap" }),
    );
    expect(() => process.madvise(2 ** 40, PAGE, "COLD")).toThrow("madvise: ENOMEM");
    expect(() => process.madvise(address + 5, PAGE, "COLD")).toThrow(
      `address ${address + 5} is not the start of a page`,
    );
  });

  test("EINVAL for addresses that are none", () => {
    const { process } = anonymous(1);
    for (const address of [-PAGE, Number.NaN, 2 ** 60, 0.5]) {
      expect(failure(() => process.munmap(address, PAGE))).toBe("EINVAL");
      expect(failure(() => process.madvise(address, PAGE, "COLD"))).toBe("EINVAL");
      expect(failure(() => process.mincore(address, PAGE))).toBe("EINVAL");
      expect(failure(() => process.mmap({ lengthBytes: PAGE, address, fixed: true }))).toBe("EINVAL");
    }
    expect(process.mm.vmas).toHaveLength(1);
  });

  test("ENOMEM of a load or store names the address", () => {
    const kernel = testKernel({ memoryPages: 1, swapPages: [] });
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 2 * PAGE, write: true });
    process.storeU64(address, 1n);
    expect(() => process.storeU64(address + PAGE, 1n)).toThrow(
      expect.objectContaining({
        code: "ENOMEM",
        syscall: "store",
        message: expect.stringContaining((address + PAGE).toString(16)),
      }),
    );
  });
});

describe("looking at a process", () => {
  test("frameAt: the frame mapped, or in the swap cache; -1 for none, a marker, or swap", () => {
    const kernel = testKernel({ synchronous: false });
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 1 });
    const shared = process.mmap({ lengthBytes: PAGE, object, shared: true, write: true });
    const address = process.mmap({ lengthBytes: 4 * PAGE, write: true });
    process.storeU64(shared, 1n);
    expect(process.frameAt(shared)).toBe(object.frameAt(0));
    process.madvise(shared, PAGE, "PAGEOUT");
    expect([process.frameAt(shared), object.frameAt(0) > 0]).toEqual([-1, true]);
    process.touchWrite(address, 2 * PAGE);
    const frame = process.frameAt(address);
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    kernel.reclaimPages([process.frameAt(address + PAGE)]);
    process.loadU64(address + 2 * PAGE);
    expect([0, 1, 2, 3].map((page) => process.frameAt(address + page * PAGE))).toEqual([frame, -1, 0, -1]);
    expect(process.frameAt(2 ** 40)).toBe(-1);
  });

  test("mappedEnd: where the area ends that covers an address, or the address", () => {
    const { process, address } = anonymous(4);
    process.munmap(address + 2 * PAGE, PAGE);
    expect([0, 1, 2, 3].map((page) => (process.mappedEnd(address + page * PAGE) - address) / PAGE)).toEqual([
      2, 2, 2, 4,
    ]);
    expect(process.mappedEnd(address + 5)).toBe(address + 2 * PAGE);
  });
});

describe("the life of a process", () => {
  test("pids are counted up, and not used again", () => {
    const kernel = testKernel();
    const first = kernel.createProcess();
    const second = first.fork();
    second.exit();
    expect([first.pid, second.pid, kernel.createProcess().pid]).toEqual([1, 2, 3]);
    expect(kernel.processes.map((process) => process.pid)).toEqual([1, 3]);
  });

  test("exit frees what only it used: pages, swap, page tables, shared anonymous memory", () => {
    const { kernel, process, address } = anonymous(8);
    const other = process.mmap({ lengthBytes: 4 * PAGE, shared: true, write: true });
    fill(process, address, 8);
    fill(process, other, 4);
    process.madvise(address, 4 * PAGE, "PAGEOUT");
    process.madvise(other, 2 * PAGE, "PAGEOUT");
    process.exit();
    expect(process.hasExited).toBe(true);
    expect([
      kernel.frames.freeCount,
      kernel.swap.areas[0].usedSlots,
      kernel.pageTables.inUse,
      kernel.objects,
    ]).toEqual([kernel.frames.sizePages, 0, 0, []]);
  });

  test("one that has ended can do nothing any more, least of all to the next one's page tables", () => {
    const { kernel, process, address } = anonymous(1);
    process.storeU64(address, 1n);
    process.exit();
    const next = kernel.createProcess();
    const options = { lengthBytes: PAGE, address, fixed: true, write: true };
    next.mmap(options);
    next.storeU64(address, 2n);
    expect(failure(() => process.loadU64(address))).toBe("SIGSEGV");
    expect(failure(() => process.storeU64(address, 3n))).toBe("SIGSEGV");
    expect([pagemap(process, address, 1), process.frameAt(address)]).toEqual([["0"], -1]);
    const refused: ((process: Process) => unknown)[] = [
      (ended) => ended.exit(),
      (ended) => ended.mmap(options),
      (ended) => ended.fork(),
    ];
    for (const call of refused) expect(() => call(process)).toThrow("process 1 has exited");
    expect(next.loadU64(address)).toBe(2n);
  });

  test("a thousand come and go and leave nothing", () => {
    const kernel = testKernel({ memoryPages: 64, swapPages: [64] });
    const object = kernel.memfdCreate({ sizePages: 8 });
    const first = kernel.createProcess();
    const address = first.mmap({ lengthBytes: 8 * PAGE, object, shared: true, write: true });
    const own = first.mmap({ lengthBytes: 8 * PAGE, write: true });
    fill(first, own, 8);
    for (let i = 0; i < 1000; i++) {
      const child = first.fork();
      child.writeBytes(address + (i % 8) * PAGE, pattern(i));
      child.writeBytes(own + (i % 8) * PAGE, pattern(i + 1));
      if (i % 100 === 0) kernel.reclaimAll();
      child.exit();
    }
    expect([wrongPages(first, own, 8), wrongPages(first, address, 8, 992)]).toEqual([[], []]);
    expect(kernel.anonVmas.count).toBe(1);
  });
});
