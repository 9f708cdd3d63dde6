import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AddressSpaces } from "../../test/support/address-space.ts";
import { PAGE, pagemap, testKernel } from "../../test/support/model.ts";
import { PTE_ACCESSED, PTE_GLOBAL, PTE_HI_NX, PTE_PRESENT, PTE_RW, PTE_USER } from "../abi/index.ts";
import { makeConfig } from "./config.ts";
import type { Kernel } from "./kernel.ts";
import type { Process } from "./process.ts";
import {
  isCowMapping,
  isSoftDirtyTracked,
  pageProtLo,
  setPageProt,
  VM_EXEC,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_READ,
  VM_SHARED,
  VM_SOFTDIRTY,
  VM_UFFD_WP,
  VM_WRITE,
  Vma,
  wantsWriteNotify,
} from "./vma.ts";

const mm = new AddressSpaces().create();

function vmaWith(flags: number): Vma {
  return new Vma(mm, 100, 110, flags, null, 100);
}

const SHARED = VM_SHARED | VM_MAYSHARE;
const USABLE = PTE_PRESENT | PTE_USER | PTE_ACCESSED;
const SOFT_DIRTY = makeConfig("linux-6.1");
const NO_SOFT_DIRTY = makeConfig("linux-6.18");

describe("a new PTE", () => {
  test.each([
    ["PROT_NONE", 0, PTE_GLOBAL | PTE_ACCESSED],
    ["shared PROT_NONE", SHARED, PTE_GLOBAL | PTE_ACCESSED],
    ["private r", VM_READ, USABLE],
    ["private rw: a write must copy first", VM_READ | VM_WRITE, USABLE],
    ["private x", VM_EXEC, USABLE],
    ["shared r", SHARED | VM_READ, USABLE],
    ["shared rw", SHARED | VM_READ | VM_WRITE, USABLE | PTE_RW],
    ["shared w", SHARED | VM_WRITE, USABLE | PTE_RW],
  ])("of a mapping that is %s", (_, flags, lo) => {
    expect(pageProtLo(flags)).toBe(lo);
  });

  test("may be executed only where the area may", () => {
    for (const flags of [0, VM_READ, VM_READ | VM_WRITE, VM_EXEC, VM_READ | VM_EXEC]) {
      const vma = vmaWith(flags);
      setPageProt(SOFT_DIRTY, vma);
      expect(vma.protHi >>> 0).toBe((flags & VM_EXEC) === 0 ? PTE_HI_NX : 0);
    }
  });

  test("of a shared mapping is not writable while writes are to be noticed", () => {
    const RW = SHARED | VM_READ | VM_WRITE;
    const cases = [
      { config: SOFT_DIRTY, flags: RW | VM_SOFTDIRTY, notices: false },
      { config: SOFT_DIRTY, flags: RW, notices: true },
      { config: SOFT_DIRTY, flags: RW | VM_SOFTDIRTY | VM_UFFD_WP, notices: true },
      { config: NO_SOFT_DIRTY, flags: RW, notices: false },
      { config: NO_SOFT_DIRTY, flags: RW | VM_UFFD_WP, notices: true },
      { config: SOFT_DIRTY, flags: SHARED | VM_READ, notices: false },
      { config: SOFT_DIRTY, flags: VM_READ | VM_WRITE, notices: false },
    ];
    for (const { config, flags, notices } of cases) {
      const vma = vmaWith(flags);
      expect(wantsWriteNotify(config, vma), `flags 0x${flags.toString(16)}`).toBe(notices);
      setPageProt(config, vma);
      const isWritable = (flags & (VM_SHARED | VM_WRITE)) === (VM_SHARED | VM_WRITE) && !notices;
      expect((vma.protLo & PTE_RW) !== 0, `flags 0x${flags.toString(16)}`).toBe(isWritable);
    }
  });
});

test("soft-dirty is tracked page by page where the area as a whole is not soft-dirty, and the kernel has it", () => {
  expect(isSoftDirtyTracked(SOFT_DIRTY, vmaWith(0))).toBe(true);
  expect(isSoftDirtyTracked(SOFT_DIRTY, vmaWith(VM_SOFTDIRTY))).toBe(false);
  expect(isSoftDirtyTracked(NO_SOFT_DIRTY, vmaWith(0))).toBe(false);
});

test.each([
  ["private, may be written", VM_MAYWRITE, true],
  ["private, written", VM_MAYWRITE | VM_WRITE, true],
  ["private, never to be written", VM_READ, false],
  ["shared", VM_SHARED | VM_MAYWRITE, false],
])("a mapping that is %s is copied on write: see the answer", (_, flags, is) => {
  expect(isCowMapping(flags)).toBe(is);
});

test("a page's index and the page of an index are each other's inverse", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 16, max: 2 ** 35 }),
      fc.integer({ min: 1, max: 2 ** 20 }),
      fc.integer({ min: 0, max: 2 ** 40 }),
      fc.nat(2 ** 20),
      (start, sizePages, pgoff, at) => {
        const vma = new Vma(mm, start, start + sizePages, VM_READ, null, pgoff);
        const vpn = start + (at % sizePages);
        expect(vma.sizePages).toBe(sizePages);
        expect(vma.indexOf(vpn)).toBe(pgoff + vpn - start);
        expect(vma.pageAt(vma.indexOf(vpn))).toBe(vpn);
      },
    ),
  );
});

test("each area has a number of its own", () => {
  const ids = Array.from({ length: 10 }, () => vmaWith(0).id);
  expect(new Set(ids).size).toBe(10);
});

/** PROT_NONE clears the present bit of PTEs that go on mapping their pages. */
describe("a page that PROT_NONE hides", () => {
  function hide(): { kernel: Kernel; process: Process; address: number } {
    const kernel = testKernel({ memoryPages: 64, profile: "linux-6.1" });
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 2 * PAGE, write: true });
    process.storeU64(address, 7n);
    process.storeU64(address + PAGE, 8n);
    process.mprotect(address, 2 * PAGE, { read: false });
    return { kernel, process, address };
  }

  test("can't be read or written, and has its bytes when it can again", () => {
    const { process, address } = hide();
    expect(() => process.loadU64(address)).toThrow("SIGSEGV");
    expect(() => process.storeU64(address, 1n)).toThrow("SIGSEGV");
    process.mprotect(address, PAGE, {});
    expect(process.loadU64(address)).toBe(7n);
  });

  test("is mapped all the same: pagemap, smaps and mincore say so", () => {
    const { kernel, process, address } = hide();
    expect(pagemap(process, address, 2)).toEqual(["103", "103"]);
    expect(process.smaps()[0]).toMatchObject({ perms: "---p", rss: 2 * PAGE, anonymous: 2 * PAGE, swap: 0 });
    expect([...process.mincore(address, 2 * PAGE)]).toEqual([1, 1]);
    expect(kernel.isAnonymous(process.frameAt(address))).toBe(true);
  });

  test("is freed by munmap, MADV_DONTNEED and exit", () => {
    const { kernel, process, address } = hide();
    const free = kernel.frames.freeCount;
    process.madvise(address, PAGE, "DONTNEED");
    expect(kernel.frames.freeCount).toBe(free + 1);
    process.munmap(address, 2 * PAGE);
    expect(kernel.frames.freeCount).toBe(free + 2);
    const other = hide();
    other.process.exit();
    expect(other.kernel.frames.freeCount).toBe(64);
  });

  test("is the child's too after fork, and copied when one of them writes", () => {
    const { kernel, process, address } = hide();
    const child = process.fork();
    kernel.checkInvariants();
    process.mprotect(address, 2 * PAGE, { write: true });
    process.storeU64(address, 9n);
    child.mprotect(address, 2 * PAGE, {});
    expect([child.loadU64(address), child.loadU64(address + PAGE)]).toEqual([7n, 8n]);
    expect(process.loadU64(address)).toBe(9n);
  });

  test("can be paged out by reclaim and by MADV_PAGEOUT, and comes back", () => {
    const { kernel, process, address } = hide();
    process.madvise(address, PAGE, "PAGEOUT");
    expect(pagemap(process, address, 2)).toEqual(["81", "103"]);
    kernel.reclaimAll();
    expect(pagemap(process, address, 2)).toEqual(["81", "81"]);
    process.mprotect(address, 2 * PAGE, { write: true });
    expect([process.loadU64(address), process.loadU64(address + PAGE)]).toEqual([7n, 8n]);
  });

  test("moves with mremap", () => {
    const { process, address } = hide();
    const to = process.mremap({
      address,
      oldLengthBytes: 2 * PAGE,
      newLengthBytes: 8 * PAGE,
      to: address - 64 * PAGE,
    });
    process.mprotect(to, 8 * PAGE, {});
    expect([process.loadU64(to), process.loadU64(to + PAGE)]).toEqual([7n, 8n]);
  });
});
