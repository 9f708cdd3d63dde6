import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  busyKernel,
  fill,
  PAGE,
  pagemap,
  stateHash,
  testKernel,
  wrongPages,
} from "../../test/support/model.ts";
import { ConfigError } from "./config.ts";
import { Kernel } from "./kernel.ts";
import type { Process } from "./process.ts";
import { MemorySwapDevice } from "./swap-device/memory.ts";

test("the example in its documentation runs, and leaves a marker", () => {
  const source = readFileSync(new URL("./kernel.ts", import.meta.url), "utf8");
  const comment = /```ts\n([\s\S]*?)```/.exec(source)![1];
  const example = comment.replace(/^ \* ?/gm, "");
  const run = new Function("Kernel", "MemorySwapDevice", `${example}\nreturn { kernel, process, address };`);
  const { kernel, process, address }: { kernel: Kernel; process: Process; address: number } = run(
    Kernel,
    MemorySwapDevice,
  );
  expect(pagemap(process, address, 1)).toEqual(["81:30.2"]);
  expect(process.loadU64(address)).toBe(7n);
  kernel.checkInvariants();
});

describe("what a kernel is made of", () => {
  test("the RFC's configuration and 256 MiB, unless told otherwise", () => {
    const kernel = new Kernel();
    expect(kernel.config).toMatchObject({ release: "6.1", PTE_MARKER_PAGEOUT: true });
    expect([kernel.frames.sizePages, kernel.swap.areas]).toEqual([65536, []]);
    kernel.checkInvariants();
  });

  test("a profile, and switches set otherwise", () => {
    const kernel = new Kernel({
      profile: "linux-6.18",
      config: { fault_around_bytes: 4096 },
      memoryPages: 4,
    });
    expect(kernel.config).toMatchObject({ release: "6.18", uffd_wp_async: true, fault_around_bytes: 4096 });
    expect(kernel.markers).toMatchObject({ type: 31, UFFD_WP: 1, PAGEOUT: 0, POISONED: 2, GUARD: 4 });
  });

  test("no markers at all without PTE_MARKER: page-out and write-protection leave none", () => {
    const off = { PTE_MARKER: false, PTE_MARKER_PAGEOUT: false, PTE_MARKER_UFFD_WP: false };
    const kernel = testKernel({ config: off });
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 1 });
    const address = process.mmap({ lengthBytes: PAGE, object, shared: true, write: true });
    fill(process, address, 1);
    process.madvise(address, PAGE, "PAGEOUT");
    expect([kernel.markers, pagemap(process, address, 1)]).toEqual([undefined, ["1"]]);
    expect(wrongPages(process, address, 1)).toEqual([]);
  });

  test.each<[string, () => Kernel, RegExp]>([
    ["no memory", () => new Kernel({ memoryPages: 0 }), /memoryPages 0: must be an integer from 1 to/],
    ["half a page", () => new Kernel({ memoryPages: 1.5 }), /memoryPages 1.5/],
    ["too much memory", () => new Kernel({ memoryPages: 2 ** 31 }), /memoryPages 2147483648/],
    [
      "an unknown profile",
      () => new Kernel({ profile: "linux-2.4" }),
      /unknown profile "linux-2.4": there are rfc, linux-6.1/,
    ],
    [
      "an impossible configuration",
      () => new Kernel({ config: { PTE_MARKER: false } }),
      /PTE_MARKER_PAGEOUT needs PTE_MARKER: set PTE_MARKER to true, or PTE_MARKER_PAGEOUT to false/,
    ],
    ["swap without slots", () => new Kernel({ swap: [new MemorySwapDevice({ slots: 1 })] }), /slots 1/],
  ])("refuses %s, saying why", (_, make, message) => {
    expect(make).toThrow(ConfigError);
    expect(make).toThrow(message);
  });
});

describe("swap areas", () => {
  test("are filled in the order of their priorities: first come first, unless given", () => {
    const kernel = testKernel({ swapPages: [4, 4] });
    const high = kernel.swapon(new MemorySwapDevice({ slots: 3 }), { priority: 10 });
    expect(kernel.swap.areas.map((area) => area.type)).toEqual([2, 0, 1]);
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 8 * PAGE, write: true });
    fill(process, address, 8);
    process.madvise(address, 8 * PAGE, "PAGEOUT");
    expect(kernel.swap.areas.map((area) => area.usedSlots)).toEqual([2, 4, 2]);
    expect(high.usedSlots).toBe(2);
    expect(wrongPages(process, address, 8)).toEqual([]);
  });

  test("cannot be more than there are swap types", () => {
    const kernel = testKernel({ swapPages: [] });
    const { areasMax } = kernel.swap;
    for (let i = 0; i < areasMax; i++) kernel.swapon(new MemorySwapDevice({ slots: 2 }));
    expect(() => kernel.swapon(new MemorySwapDevice({ slots: 2 }))).toThrow(
      `there can be ${areasMax} areas at the most`,
    );
    expect(areasMax).toBe(22);
  });
});

describe("groups", () => {
  test("have a limit of their own, which must be something", () => {
    const kernel = testKernel();
    const group = kernel.createGroup("one", { limitPages: 7 });
    expect([group.limitPages, kernel.createGroup("two").limitPages]).toEqual([7, Number.POSITIVE_INFINITY]);
    expect(() => kernel.createGroup("none", { limitPages: 0 })).toThrow(ConfigError);
    expect(() => (group.limitPages = Number.NaN)).toThrow('memory group "one": limitPages NaN');
  });

  test("cannot be more than 256 with the root", () => {
    const kernel = testKernel();
    for (let i = 1; i < 256; i++) kernel.createGroup(`g${i}`);
    expect(() => kernel.createGroup("one too many")).toThrow("there can be 256 at the most");
  });
});

test("memoryUse: at most 32 bytes a frame besides contents, and contents only of what was touched", () => {
  const kernel = testKernel({ memoryPages: 65536, swapPages: [] });
  const before = kernel.memoryUse();
  expect(before.bytesPerFrame).toBeLessThanOrEqual(32);
  expect(before.framesBytes).toBe(before.bytesPerFrame * 65537);
  const process = kernel.createProcess();
  const address = process.mmap({ lengthBytes: 2 ** 36, write: true });
  process.touchWrite(address, 100 * PAGE);
  const after = kernel.memoryUse();
  expect(after.contentsBytes).toBeGreaterThanOrEqual(100 * PAGE);
  expect(after.contentsBytes).toBeLessThan(16 * 2 ** 20);
  expect(after.pageTablesBytes).toBeLessThan(2 ** 20);
  expect(after.pageCacheBytes).toBe(0);
  kernel.memfdCreate({ sizePages: 1 }).fallocate(0, PAGE);
  expect(kernel.memoryUse().pageCacheBytes).toBeGreaterThan(0);
});

test("isAnonymous: private pages, not objects' pages, not the zero page, not no frame", () => {
  const kernel = testKernel();
  const process = kernel.createProcess();
  const object = kernel.memfdCreate({ sizePages: 1 });
  const shared = process.mmap({ lengthBytes: PAGE, object, shared: true, write: true });
  const own = process.mmap({ lengthBytes: 2 * PAGE, write: true });
  process.storeU64(shared, 1n);
  process.storeU64(own, 1n);
  process.loadU64(own + PAGE);
  const frames = [shared, own, own + PAGE, own + 2 * PAGE].map((at) => process.frameAt(at));
  expect(frames.map((frame) => kernel.isAnonymous(frame))).toEqual([false, true, false, false]);
});

test("the same calls lead to the same state, to the last bit", () => {
  expect(stateHash(busyKernel().kernel)).toBe(stateHash(busyKernel().kernel));
});

test("objects are known while they live", () => {
  const kernel = testKernel();
  const memfd = kernel.memfdCreate({ sizePages: 1 });
  expect([kernel.objects, kernel.object(memfd.object.id)]).toEqual([[memfd.object], memfd.object]);
  memfd.close();
  expect(() => kernel.object(memfd.object.id)).toThrow("does not exist");
});
