import { describe, expect, test } from "vitest";
import {
  failure,
  fill,
  mincore,
  PAGE,
  pagemap,
  pattern,
  testKernel,
  wrongPages,
} from "../../test/support/model.ts";
import type { Process } from "./process.ts";

const READ = {};
const WRITE = { write: true };
const NONE = { read: false };

function anonymous(pages: number) {
  const kernel = testKernel();
  const process = kernel.createProcess();
  const address = process.mmap({ lengthBytes: pages * PAGE, write: true });
  return { kernel, process, address };
}

function perms(process: Process): string[] {
  return process.smaps().map((area) => `${area.size / PAGE} ${area.perms}`);
}

describe("what may be done", () => {
  test("after write is taken away, loads but no stores; given back, stores again", () => {
    const { process, address } = anonymous(2);
    fill(process, address, 2);
    process.mprotect(address, PAGE, READ);
    expect([
      failure(() => process.storeU64(address, 1n)),
      failure(() => process.storeU64(address + PAGE, 1n)),
    ]).toEqual(["SIGSEGV", ""]);
    expect(wrongPages(process, address, 1)).toEqual([]);
    process.mprotect(address, PAGE, WRITE);
    process.storeU64(address, 1n);
    expect(process.loadU64(address)).toBe(1n);
  });

  test("a mapping made read-only may be made writable, a shared one writes to the object then", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 1 });
    const address = process.mmap({ lengthBytes: PAGE, object, shared: true });
    process.loadU64(address);
    process.mprotect(address, PAGE, WRITE);
    process.writeBytes(address, pattern(4));
    const bytes = new Uint8Array(PAGE);
    object.pread(bytes, 0);
    expect(bytes).toEqual(pattern(4));
  });

  test("nothing after PROT_NONE; the page stays mapped, and may go to swap and come back", () => {
    const { kernel, process, address } = anonymous(3);
    fill(process, address, 3);
    process.mprotect(address, 3 * PAGE, NONE);
    expect(pagemap(process, address, 3)).toEqual(["103", "103", "103"]);
    expect(kernel.reclaimPages([process.frameAt(address)])).toBe(1);
    process.madvise(address + PAGE, PAGE, "PAGEOUT");
    expect([pagemap(process, address, 3), mincore(process, address, 3)]).toEqual([
      ["81", "81", "103"],
      "001",
    ]);
    const child = process.fork();
    process.mprotect(address, 3 * PAGE, READ);
    child.mprotect(address, 3 * PAGE, WRITE);
    expect([wrongPages(process, address, 3), wrongPages(child, address, 3)]).toEqual([[], []]);
  });
});

describe("what is in the page table", () => {
  test("markers stay as they are", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 3 });
    const address = process.mmap({ lengthBytes: 3 * PAGE, object, shared: true, write: true });
    fill(process, address, 3);
    const uffd = process.userfaultfd();
    uffd.register(address, 3 * PAGE);
    uffd.protect(address, PAGE);
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    for (const access of [READ, NONE, WRITE]) {
      process.mprotect(address, 3 * PAGE, access);
      expect(pagemap(process, address, 3)).toEqual(["85:30.1", "81:30.2", "143"]);
    }
    expect(wrongPages(process, address, 3)).toEqual([]);
  });

  test("swap entries stay, soft-dirty and all", () => {
    const { process, address } = anonymous(2);
    process.clearRefs();
    process.storeU64(address, 1n);
    process.loadU64(address + PAGE);
    process.madvise(address, PAGE, "PAGEOUT");
    process.mprotect(address, 2 * PAGE, READ);
    expect(pagemap(process, address, 2)).toEqual(["81", "100"]);
  });

  test("a page that is written already needs no fault when write comes back", () => {
    const { kernel, process, address } = anonymous(1);
    process.storeU64(address, 1n);
    process.mprotect(address, PAGE, READ);
    process.mprotect(address, PAGE, WRITE);
    const { pgfault } = kernel.vmstat;
    process.storeU64(address, 2n);
    expect(kernel.vmstat.pgfault).toBe(pgfault);
  });

  test("a page that parent and child share is not made writable: the store still copies", () => {
    const { kernel, process, address } = anonymous(1);
    fill(process, address, 1);
    const child = process.fork();
    child.mprotect(address, PAGE, READ);
    child.mprotect(address, PAGE, WRITE);
    const { pgfault } = kernel.vmstat;
    child.writeBytes(address, pattern(5));
    expect(kernel.vmstat.pgfault).toBe(pgfault + 1);
    expect([wrongPages(process, address, 1), wrongPages(child, address, 1, 5)]).toEqual([[], []]);
  });

  test("the zero page is not made writable", () => {
    const { process, address } = anonymous(2);
    process.touchRead(address, 2 * PAGE);
    process.mprotect(address, 2 * PAGE, READ);
    process.mprotect(address, 2 * PAGE, WRITE);
    process.storeU64(address, 1n);
    expect([process.loadU64(address), process.loadU64(address + PAGE)]).toEqual([1n, 0n]);
  });

  test("stores that soft-dirty tracking must see still fault", () => {
    const { process, address } = anonymous(2);
    fill(process, address, 2);
    process.clearRefs();
    process.mprotect(address, 2 * PAGE, READ);
    process.mprotect(address, 2 * PAGE, WRITE);
    process.storeU64(address, 1n);
    expect(pagemap(process, address, 2)).toEqual(["103", "102"]);
  });

  test("stores to pages that userfaultfd protects still fault", () => {
    const { process, address } = anonymous(1);
    process.storeU64(address, 1n);
    const seen: number[] = [];
    const uffd = process.userfaultfd((at) => {
      seen.push(at);
      uffd.resolve(at, PAGE);
    });
    uffd.register(address, PAGE);
    uffd.protect(address, PAGE);
    process.mprotect(address, PAGE, READ);
    process.mprotect(address, PAGE, WRITE);
    process.storeU64(address, 2n);
    expect([seen, process.loadU64(address)]).toEqual([[address], 2n]);
  });
});

describe("areas", () => {
  test("are split where protections differ, and joined where they are alike again", () => {
    const { process, address } = anonymous(6);
    process.mprotect(address + 2 * PAGE, 2 * PAGE, READ);
    expect(perms(process)).toEqual(["2 rw-p", "2 r--p", "2 rw-p"]);
    process.mprotect(address, 3 * PAGE, READ);
    expect(perms(process)).toEqual(["4 r--p", "2 rw-p"]);
    process.mprotect(address, 6 * PAGE, WRITE);
    expect(perms(process)).toEqual(["6 rw-p"]);
  });

  test("that are alike already are left alone", () => {
    const { kernel, process, address } = anonymous(4);
    fill(process, address, 4);
    const { pteWrites } = kernel.work;
    process.mprotect(address + PAGE, PAGE, WRITE);
    expect([perms(process), kernel.work.pteWrites]).toEqual([["4 rw-p"], pteWrites]);
  });
});

describe("what is refused", () => {
  test("a gap, with ENOMEM; what lies before it is done", () => {
    const { process, address } = anonymous(5);
    fill(process, address, 5);
    process.munmap(address + 2 * PAGE, PAGE);
    expect(failure(() => process.mprotect(address, 5 * PAGE, READ))).toBe("ENOMEM");
    expect(perms(process)).toEqual(["2 r--p", "2 rw-p"]);
    expect(failure(() => process.mprotect(2 ** 40, PAGE, READ))).toBe("ENOMEM");
  });

  test("an address within a page, with EINVAL; no length is no error", () => {
    const { process, address } = anonymous(1);
    expect(failure(() => process.mprotect(address + 1, PAGE, READ))).toBe("EINVAL");
    process.mprotect(address, 0, READ);
    process.mprotect(2 ** 40, 0, READ);
    expect(perms(process)).toEqual(["1 rw-p"]);
  });
});
