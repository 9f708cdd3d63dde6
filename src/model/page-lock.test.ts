import { describe, expect, test } from "vitest";
import {
  bareKernel,
  endAll,
  fill,
  PAGE,
  retire,
  states,
  testKernel,
  wrongPages,
} from "../../test/support/model.ts";
import { PG_LOCKED } from "./page-frames.ts";
import { PageLockedError } from "./page-lock.ts";
import type { PageOut, PageOutStage } from "./page-out.ts";

/** A page of an object, mapped and written, and its page-out, stepped to the stage. */
function halfOut(stage: PageOutStage, kind: "shared" | "anonymous" = "shared") {
  const kernel = bareKernel({ memoryPages: 16, swapPages: [8] });
  const process = kernel.createProcess();
  const object = kernel.memfdCreate({ sizePages: 1 });
  const file = kind === "shared" ? { object, shared: true } : {};
  const address = process.mmap({ lengthBytes: PAGE, write: true, ...file });
  fill(process, address, 1);
  const pageOut = kernel.startPageOut(process.frameAt(address)) as PageOut;
  while (pageOut.stage !== stage) pageOut.step(kernel);
  const end = (): void => {
    pageOut.run(kernel);
    kernel.checkInvariants();
    expect(wrongPages(process, address, 1)).toEqual([]);
    endAll(kernel);
    retire(kernel);
  };
  return { kernel, process, object, address, pageOut, end };
}

describe("a call that needs a page which a task has locked", () => {
  const buffer = new Uint8Array(PAGE);
  test.each<[string, (half: ReturnType<typeof halfOut>) => void]>([
    ["pread", ({ object }) => object.pread(buffer, 0)],
    ["pwrite", ({ object }) => object.pwrite(buffer, 0)],
    ["fallocate", ({ object }) => object.punchHole(0, PAGE)],
    ["madvise", ({ process, address }) => process.madvise(address, PAGE, "REMOVE")],
    ["fault at 0x", ({ process, address }) => process.loadU64(address)],
  ])("%s says that the task must go on", (name, call) => {
    const half = halfOut("write");
    expect(() => call(half)).toThrow(PageLockedError);
    expect(() => call(half)).toThrow(name);
    half.end();
  });

  test("and succeeds after it has", () => {
    const { object, pageOut, kernel, end } = halfOut("free");
    expect(() => object.pread(buffer, 0)).toThrow(PageLockedError);
    pageOut.run(kernel);
    expect(object.pread(buffer, 0)).toBe(PAGE);
    end();
  });

  test.each(["shared", "anonymous"] as const)("swapoff of a %s page waits, then empties the area", (kind) => {
    const { kernel, pageOut, end } = halfOut("free", kind);
    const [area] = kernel.swap.areas;
    expect(() => kernel.swapoff(area)).toThrow(PageLockedError);
    expect(area.writeOk).toBe(true);
    pageOut.run(kernel);
    expect(kernel.swapoff(area)).toBe(true);
    end();
  });
});

describe("a page whose bytes have gone to swap, and which somebody finds in the swap cache before it is freed", () => {
  test.each(["shared", "anonymous"] as const)("%s: is kept, with its bytes", (kind) => {
    const { kernel, process, address, pageOut, end } = halfOut("free", kind);
    expect(pageOut.isGiven).toBe(true);
    // What reads ahead holds a page for a moment, without a look at its lock.
    kernel.frames.refcount[pageOut.pfn]++;
    pageOut.run(kernel);
    kernel.frames.refcount[pageOut.pfn]--;
    expect(pageOut.freed).toBe(false);
    expect(wrongPages(process, address, 1)).toEqual([]);
    end();
  });

  test.each(["shared", "anonymous"] as const)("%s: MADV_WILLNEED lets it go", (kind) => {
    const { kernel, process, address, pageOut, object, end } = halfOut("free", kind);
    process.madvise(address, PAGE, "WILLNEED");
    pageOut.run(kernel);
    expect(pageOut.freed).toBe(true);
    if (kind === "shared") expect(states(object)).toEqual(["swapped"]);
    end();
  });
});

describe("a fault whose area changes between its stages", () => {
  const stages = (kind: "anonymous" | "shared" | "private") =>
    Array.from({ length: 6 }, (_, steps) => ({ kind, steps }));
  test.each([...stages("anonymous"), ...stages("shared"), ...stages("private")])(
    "$kind, after $steps steps: what mprotect allows is what is mapped",
    ({ kind, steps }) => {
      const kernel = testKernel();
      const process = kernel.createProcess();
      const object = kernel.memfdCreate({ sizePages: 1 });
      const file = kind === "anonymous" ? {} : { object, shared: kind === "shared" };
      const address = process.mmap({ lengthBytes: PAGE, write: true, ...file });
      process.touchRead(address, PAGE);
      if (steps % 2 === 0) process.madvise(address, PAGE, "DONTNEED");
      const store = process.startAccess(address, "store");
      for (let i = 0; i < steps && store.stage !== "done"; i++) store.step(kernel);
      const isThrough = store.stage === "done";
      process.mprotect(address, PAGE, { write: false });
      while (store.stage !== "done") store.step(kernel);
      kernel.checkInvariants();
      expect(store.result).toBe(isThrough ? "ok" : "SIGSEGV");
    },
  );

  test("or goes: no page is left behind", () => {
    for (let steps = 0; steps < 6; steps++) {
      const kernel = testKernel();
      const process = kernel.createProcess();
      const object = kernel.memfdCreate({ sizePages: 1 });
      const address = process.mmap({ lengthBytes: PAGE, object, shared: true, write: true });
      object.close();
      const store = process.startAccess(address, "store");
      for (let i = 0; i < steps && store.stage !== "done"; i++) store.step(kernel);
      const locked = kernel.frames.flags.some((flags) => (flags & PG_LOCKED) !== 0);
      if (locked) {
        // The object can't go while a page of it is locked.
        while (store.stage !== "done") store.step(kernel);
        continue;
      }
      process.munmap(address, PAGE);
      while (store.stage !== "done") store.step(kernel);
      kernel.checkInvariants();
      expect(kernel.objects.length).toBe(0);
    }
  });
});
