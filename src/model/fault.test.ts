import { describe, expect, test } from "vitest";
import {
  failure,
  fill,
  PAGE,
  pagemap,
  pagemapEntries,
  pattern,
  setPte,
  states,
  testKernel,
  wrongPages,
} from "../../test/support/model.ts";
import { markerPteHi, markerPteLo } from "../abi/index.ts";
import type { Kernel } from "./kernel.ts";
import type { Process } from "./process.ts";

/** The stages that the fault of one access goes through. */
function stagesOf(kernel: Kernel, process: Process, address: number, isWrite: boolean): string[] {
  const fault = process.startFault(address, isWrite);
  const stages: string[] = [];
  while (fault.stage !== "done") {
    stages.push(fault.stage);
    fault.step(kernel);
  }
  return [...stages, fault.result];
}

function anonymous(process: Process, pages: number): number {
  return process.mmap({ lengthBytes: pages * PAGE, write: true });
}

describe("anonymous memory", () => {
  test("a load from an untouched page gives zeros and takes no memory", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const address = anonymous(process, 2);
    const free = kernel.frames.freeCount;
    expect(process.loadU64(address)).toBe(0n);
    expect(kernel.frames.freeCount).toBe(free);
    // Present, soft-dirty as the new area is; the zero page is not exclusively anybody's.
    expect(pagemap(process, address, 2)).toEqual(["101", "1"]);
  });

  test("a store after such a load gets a page of its own", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const address = anonymous(process, 1);
    process.loadU64(address);
    process.storeU64(address + 8, 5n);
    expect([process.loadU64(address), process.loadU64(address + 8)]).toEqual([0n, 5n]);
    expect(pagemap(process, address, 1)).toEqual(["103"]);
    expect(kernel.frames.sizePages - kernel.frames.freeCount).toBe(1);
  });

  test("a new page is zero even where the frame held something before", () => {
    const kernel = testKernel({ memoryPages: 8, swapPages: [] });
    const process = kernel.createProcess();
    for (let round = 0; round < 4; round++) {
      const address = anonymous(process, 6);
      const bytes = new Uint8Array(6 * PAGE);
      process.touchWrite(address, bytes.length);
      process.readBytes(address, bytes);
      expect(bytes.every((byte) => byte === 0)).toBe(true);
      fill(process, address, 6, round);
      process.munmap(address, bytes.length);
    }
  });

  test("each page faults once, whatever is stored there after", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const address = anonymous(process, 3);
    for (let round = 0; round < 3; round++) process.touchWrite(address, 3 * PAGE);
    expect(kernel.vmstat).toMatchObject({ pgfault: 3, pgmajfault: 0 });
  });
});

describe("a fatal fault", () => {
  test("SIGSEGV where nothing is mapped, with the address", () => {
    const process = testKernel().createProcess();
    const address = anonymous(process, 3);
    process.munmap(address + PAGE, PAGE);
    expect(() => process.loadU64(address + PAGE + 8)).toThrow(
      expect.objectContaining({ signal: "SIGSEGV", address: address + PAGE + 8 }),
    );
    expect(failure(() => process.storeU64(address - 8, 1n))).toBe("SIGSEGV");
    expect(failure(() => process.loadU64(0))).toBe("SIGSEGV");
  });

  test("SIGSEGV for a store where only loads are allowed; loads go on", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: PAGE });
    expect(failure(() => process.storeU64(address, 1n))).toBe("SIGSEGV");
    expect(process.loadU64(address)).toBe(0n);
    expect(failure(() => process.storeU64(address, 1n))).toBe("SIGSEGV");
  });

  test("SIGSEGV for any access to a PROT_NONE mapping, mapped page or not", () => {
    const process = testKernel().createProcess();
    const address = anonymous(process, 2);
    process.storeU64(address, 7n);
    process.mprotect(address, 2 * PAGE, { read: false });
    for (const page of [0, 1]) {
      expect(failure(() => process.loadU64(address + page * PAGE))).toBe("SIGSEGV");
      expect(failure(() => process.storeU64(address + page * PAGE, 1n))).toBe("SIGSEGV");
    }
    process.mprotect(address, 2 * PAGE, {});
    expect(process.loadU64(address)).toBe(7n);
  });

  test("a mapping that may only be written can be read too, as on x86", () => {
    const process = testKernel().createProcess();
    const address = process.mmap({ lengthBytes: PAGE, read: false, write: true });
    expect(process.loadU64(address)).toBe(0n);
  });

  test("SIGSEGV beyond user addresses, never another page's alias", () => {
    const process = testKernel().createProcess();
    const address = anonymous(process, 1);
    process.storeU64(address, 5n);
    for (const beyond of [2 ** 47, 2 ** 48, 2 ** 49, -(2 ** 48)]) {
      expect(failure(() => process.loadU64(address + beyond))).toBe("SIGSEGV");
      expect(failure(() => process.storeU64(address + beyond, 1n))).toBe("SIGSEGV");
    }
    expect(process.loadU64(address)).toBe(5n);
  });

  test.each([true, false])("SIGBUS beyond the object's end (shared: %s)", (shared) => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 2 });
    const address = process.mmap({ lengthBytes: 4 * PAGE, object, shared, write: true });
    expect(failure(() => process.loadU64(address + 2 * PAGE))).toBe("SIGBUS");
    expect(failure(() => process.storeU64(address + 2 * PAGE, 1n))).toBe("SIGBUS");
    process.storeU64(address + PAGE, 1n);
    object.ftruncate(PAGE);
    expect(failure(() => process.loadU64(address + PAGE))).toBe("SIGBUS");
    object.ftruncate(4 * PAGE);
    expect(process.loadU64(address + PAGE)).toBe(0n);
  });

  test("the last page of an object may be used to its end, though the object ends within it", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 1 });
    object.ftruncate(100);
    const address = process.mmap({ lengthBytes: 2 * PAGE, object, shared: true, write: true });
    process.storeU64(address + PAGE - 8, 9n);
    expect(process.loadU64(address + PAGE - 8)).toBe(9n);
    expect(failure(() => process.loadU64(address + PAGE))).toBe("SIGBUS");
  });

  test.each([
    ["GUARD", "SIGSEGV"],
    ["POISONED", "SIGBUS"],
  ] as const)("a %s marker gives %s", (kind, signal) => {
    const kernel = testKernel({ profile: "linux-6.18" });
    const process = kernel.createProcess();
    const address = anonymous(process, 1);
    process.storeU64(address, 1n);
    process.madvise(address, PAGE, "DONTNEED");
    const markers = kernel.markers!;
    setPte(kernel, process, address, markerPteLo(markers[kind]), markerPteHi(markers, markers[kind]));
    expect(failure(() => process.loadU64(address))).toBe(signal);
    expect(failure(() => process.storeU64(address, 1n))).toBe(signal);
  });
});

describe("a mapping of an object", () => {
  test("a load from a hole fills it; the page is clean", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 2 });
    const address = process.mmap({ lengthBytes: 2 * PAGE, object, shared: true, write: true });
    expect(process.loadU64(address)).toBe(0n);
    expect(states(object)).toEqual(["cached", "hole"]);
    expect(process.smaps()[0]).toMatchObject({ rss: PAGE, privateClean: PAGE, privateDirty: 0 });
  });

  test("what is read can then be written without another fault", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 1 });
    const address = process.mmap({ lengthBytes: PAGE, object, shared: true, write: true });
    process.loadU64(address);
    process.storeU64(address, 3n);
    expect(kernel.vmstat.pgfault).toBe(1);
    process.madvise(address, PAGE, "PAGEOUT");
    expect(process.loadU64(address)).toBe(3n);
  });

  test("two processes see each other's stores", () => {
    const kernel = testKernel();
    const object = kernel.memfdCreate({ sizePages: 1 });
    const [a, b] = [kernel.createProcess(), kernel.createProcess()];
    const [inA, inB] = [a, b].map((process) =>
      process.mmap({ lengthBytes: PAGE, object, shared: true, write: true }),
    );
    a.storeU64(inA, 1n);
    b.storeU64(inB + 8, 2n);
    expect([b.loadU64(inB), a.loadU64(inA + 8)]).toEqual([1n, 2n]);
    expect(a.frameAt(inA)).toBe(b.frameAt(inB));
  });

  test("a page that comes back from swap is a major fault, one from the page cache a minor one", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 2 });
    const address = process.mmap({ lengthBytes: 2 * PAGE, object, shared: true, write: true });
    object.pwrite(pattern(0), 0);
    process.storeU64(address, 1n);
    expect(kernel.vmstat).toMatchObject({ pgfault: 1, pgmajfault: 0 });
    process.madvise(address, PAGE, "PAGEOUT");
    process.loadU64(address);
    expect(kernel.vmstat).toMatchObject({ pgfault: 2, pgmajfault: 1, pswpin: 1 });
  });

  test.each(["load", "store"] as const)(
    "a %s on a PAGEOUT marker brings the page back and the marker is gone",
    (how) => {
      const kernel = testKernel();
      const process = kernel.createProcess();
      const object = kernel.memfdCreate({ sizePages: 1 });
      const address = process.mmap({ lengthBytes: PAGE, object, shared: true, write: true });
      fill(process, address, 1);
      process.madvise(address, PAGE, "PAGEOUT");
      expect(pagemap(process, address, 1)).toEqual(["81:30.2"]);
      if (how === "load") process.loadU64(address);
      else process.storeU64(address, process.loadU64(address));
      expect(pagemap(process, address, 1)).toEqual(["143"]);
      expect(states(object)).toEqual(["cached"]);
      expect(wrongPages(process, address, 1)).toEqual([]);
    },
  );

  test("another process' fault brings a page back under a marker, which is stale then", () => {
    const kernel = testKernel();
    const object = kernel.memfdCreate({ sizePages: 1 });
    const [a, b] = [kernel.createProcess(), kernel.createProcess()];
    const [inA, inB] = [a, b].map((process) =>
      process.mmap({ lengthBytes: PAGE, object, shared: true, write: true }),
    );
    fill(a, inA, 1);
    a.madvise(inA, PAGE, "PAGEOUT");
    expect(wrongPages(b, inB, 1)).toEqual([]);
    expect([pagemap(a, inA, 1), pagemap(b, inB, 1)]).toEqual([["81:30.2"], ["143"]]);
    const { pgmajfault } = kernel.vmstat;
    expect(wrongPages(a, inA, 1)).toEqual([]);
    expect(kernel.vmstat.pgmajfault).toBe(pgmajfault);
  });

  test("the fault on a marker costs no more PTE writes and page-cache look-ups than on none", () => {
    const costs = ["rfc", "linux-6.1"].map((profile) => {
      const kernel = testKernel({ profile, config: { fault_around_bytes: 4096 } });
      const process = kernel.createProcess();
      const object = kernel.memfdCreate({ sizePages: 8 });
      const address = process.mmap({ lengthBytes: 8 * PAGE, object, shared: true, write: true });
      fill(process, address, 8);
      process.madvise(address, 8 * PAGE, "PAGEOUT");
      const { pteWrites, pageCacheLookups } = kernel.work;
      process.touchRead(address, 8 * PAGE);
      return [kernel.work.pteWrites - pteWrites, kernel.work.pageCacheLookups - pageCacheLookups];
    });
    expect(costs).toEqual([
      [8, 8],
      [8, 8],
    ]);
  });
});

describe("copy on write", () => {
  test("a store to a private mapping leaves the object as it is", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 2 });
    object.pwrite(pattern(1), 0);
    object.pwrite(pattern(2), PAGE);
    const address = process.mmap({ lengthBytes: 2 * PAGE, object, write: true });
    process.loadU64(address);
    process.writeBytes(address, pattern(8));
    process.writeBytes(address + PAGE, pattern(9));
    expect(wrongPages(process, address, 2, 8)).toEqual([]);
    const bytes = new Uint8Array(2 * PAGE);
    object.pread(bytes, 0);
    expect(bytes).toEqual(new Uint8Array([...pattern(1), ...pattern(2)]));
    // Anonymous now: no file bit.
    expect(pagemap(process, address, 2)).toEqual(["103", "103"]);
  });

  test("a page of a private mapping is the object's until it is written", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 1 });
    const address = process.mmap({ lengthBytes: PAGE, object, write: true });
    process.loadU64(address);
    expect(process.frameAt(address)).toBe(object.frameAt(0));
    object.pwrite(pattern(3), 0);
    expect(wrongPages(process, address, 1, 3)).toEqual([]);
    process.storeU64(address, 1n);
    expect(process.frameAt(address)).not.toBe(object.frameAt(0));
  });

  test("after fork the first to store gets a copy, the last the page itself", () => {
    const kernel = testKernel();
    const parent = kernel.createProcess();
    const address = anonymous(parent, 1);
    parent.storeU64(address, 1n);
    const frame = parent.frameAt(address);
    const child = parent.fork();
    expect(pagemap(parent, address, 1)).toEqual(["101"]);
    child.storeU64(address, 2n);
    expect(child.frameAt(address)).not.toBe(frame);
    const { pgreuse } = kernel.vmstat;
    parent.storeU64(address + 8, 3n);
    expect(parent.frameAt(address)).toBe(frame);
    expect(kernel.vmstat.pgreuse).toBe(pgreuse + 1);
    expect([parent.loadU64(address), child.loadU64(address)]).toEqual([1n, 2n]);
    expect([parent, child].map((process) => pagemap(process, address, 1)[0])).toEqual(["103", "103"]);
  });

  test("a page that is surely this process' alone is used as it is, whoever else holds a reference", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const address = anonymous(process, 1);
    fill(process, address, 1);
    process.clearRefs();
    const frame = process.frameAt(address);
    const pageOut = kernel.startPageOut(frame)!;
    process.storeU64(address, process.loadU64(address));
    expect([process.frameAt(address), kernel.vmstat.pgreuse]).toEqual([frame, 1]);
    pageOut.run(kernel);
    expect(wrongPages(process, address, 1)).toEqual([]);
  });

  test.each([
    ["linux-6.1", 2],
    ["linux-6.18", 1],
  ] as const)(
    "%s: a private page read back from swap and then written takes %d faults",
    (profile, faults) => {
      const kernel = testKernel({ profile });
      const process = kernel.createProcess();
      const address = anonymous(process, 1);
      process.storeU64(address, 4n);
      process.madvise(address, PAGE, "PAGEOUT");
      const { pgfault } = kernel.vmstat;
      expect(process.loadU64(address)).toBe(4n);
      process.storeU64(address, 5n);
      expect(kernel.vmstat.pgfault - pgfault).toBe(faults);
      process.madvise(address, PAGE, "PAGEOUT");
      expect(process.loadU64(address)).toBe(5n);
    },
  );

  test("a store to a swapped private page that two processes share copies it", () => {
    const kernel = testKernel();
    const parent = kernel.createProcess();
    const address = anonymous(parent, 1);
    fill(parent, address, 1);
    const child = parent.fork();
    expect(kernel.reclaimPages([parent.frameAt(address)])).toBe(1);
    child.storeU64(address, 99n);
    expect(child.loadU64(address)).toBe(99n);
    expect(wrongPages(parent, address, 1)).toEqual([]);
  });
});

describe("out of memory", () => {
  test.each(["anonymous", "shared", "private"] as const)(
    "a fault on %s memory fails with ENOMEM and nothing is lost",
    (kind) => {
      const kernel = testKernel({ memoryPages: 32, swapPages: [] });
      const process = kernel.createProcess();
      const held = anonymous(process, 32);
      const object = kernel.memfdCreate({ sizePages: 40 });
      const address =
        kind === "anonymous"
          ? anonymous(process, 40)
          : process.mmap({ lengthBytes: 40 * PAGE, object, shared: kind === "shared", write: true });
      fill(process, held, 8);
      let stored = 0;
      const error = failure(() => {
        for (; stored < 40; stored++) process.writeBytes(address + stored * PAGE, pattern(100 + stored));
      });
      expect(error).toBe("ENOMEM");
      expect(stored).toBeGreaterThan(8);
      expect(kernel.vmstat.oom).toBeGreaterThan(0);
      kernel.checkInvariants();
      expect(wrongPages(process, held, 8)).toEqual([]);
      expect(wrongPages(process, address, stored, 100)).toEqual([]);
      process.munmap(held, 32 * PAGE);
      process.writeBytes(address + stored * PAGE, pattern(100 + stored));
      expect(wrongPages(process, address, stored + 1, 100)).toEqual([]);
    },
  );

  test("a copy on write for which there is no memory leaves both processes' page as it was", () => {
    const kernel = testKernel({ memoryPages: 8, swapPages: [] });
    const parent = kernel.createProcess();
    const address = anonymous(parent, 8);
    let pages = 0;
    expect(
      failure(() => {
        for (; pages < 8; pages++) parent.writeBytes(address + pages * PAGE, pattern(pages));
      }),
    ).toBe("");
    const child = parent.fork();
    expect(failure(() => child.storeU64(address, 1n))).toBe("ENOMEM");
    expect([...wrongPages(parent, address, 8), ...wrongPages(child, address, 8)]).toEqual([]);
  });

  test("a page in swap stays there when there is no memory to bring it back", () => {
    const kernel = testKernel({ memoryPages: 16, swapPages: [4] });
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 2 });
    const shared = process.mmap({ lengthBytes: 2 * PAGE, object, shared: true, write: true });
    const own = anonymous(process, 2);
    fill(process, shared, 2);
    fill(process, own, 2, 10);
    process.madvise(shared, 2 * PAGE, "PAGEOUT");
    process.madvise(own, 2 * PAGE, "PAGEOUT");
    const more = anonymous(process, 16);
    fill(process, more, 16, 20);
    expect(failure(() => process.loadU64(shared))).toBe("ENOMEM");
    expect(failure(() => process.storeU64(own, 1n))).toBe("ENOMEM");
    expect(states(object)).toEqual(["swapped", "swapped"]);
    process.munmap(more, 16 * PAGE);
    expect([...wrongPages(process, shared, 2), ...wrongPages(process, own, 2, 10)]).toEqual([]);
  });
});

describe("the stages of a fault", () => {
  test("a store to untouched anonymous memory", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    expect(stagesOf(kernel, process, anonymous(process, 1), true)).toEqual([
      "look",
      "get-page",
      "install",
      "ok",
    ]);
  });

  test("a load from an object tries what is around first", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 1 });
    const address = process.mmap({ lengthBytes: PAGE, object, shared: true, write: true });
    expect(stagesOf(kernel, process, address, false)).toEqual([
      "look",
      "map-around",
      "get-page",
      "install",
      "ok",
    ]);
    process.madvise(address, PAGE, "DONTNEED");
    expect(stagesOf(kernel, process, address, false)).toEqual(["look", "map-around", "ok"]);
    process.madvise(address, PAGE, "DONTNEED");
    expect(stagesOf(kernel, process, address, true)).toEqual(["look", "get-page", "install", "ok"]);
  });

  test("copy on write", () => {
    const kernel = testKernel();
    const parent = kernel.createProcess();
    const address = anonymous(parent, 1);
    parent.storeU64(address, 1n);
    const child = parent.fork();
    const copied = ["look", "write-protect", "copy", "install-copy", "ok"];
    expect(stagesOf(kernel, child, address, true)).toEqual(copied);
    expect(stagesOf(kernel, parent, address, true)).toEqual(["look", "write-protect", "ok"]);
  });

  test("a store to a swapped page that two share: in, then copy", () => {
    const kernel = testKernel();
    const parent = kernel.createProcess();
    const address = anonymous(parent, 1);
    parent.storeU64(address, 1n);
    const child = parent.fork();
    kernel.reclaimPages([parent.frameAt(address)]);
    const fault = ["look", "get-page", "install", "look", "write-protect", "copy", "install-copy", "ok"];
    expect(stagesOf(kernel, child, address, true)).toEqual(fault);
  });

  test("a fault that found the page in swap is major", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const address = anonymous(process, 1);
    process.storeU64(address, 1n);
    process.madvise(address, PAGE, "PAGEOUT");
    const fault = process.startFault(address, false);
    expect([fault.run(kernel), fault.isMajor]).toEqual(["ok", true]);
    const again = process.startFault(address, false);
    expect([again.run(kernel), again.isMajor]).toEqual(["ok", false]);
  });

  test("a PTE that changed since it was looked at is not overwritten", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const address = anonymous(process, 1);
    const fault = process.startFault(address, true);
    fault.step(kernel);
    fault.step(kernel);
    process.storeU64(address, 8n);
    const [entry] = pagemapEntries(process, address, 1);
    expect(fault.run(kernel)).toBe("retry");
    expect(pagemapEntries(process, address, 1)).toEqual([entry]);
    expect(process.loadU64(address)).toBe(8n);
  });
});
