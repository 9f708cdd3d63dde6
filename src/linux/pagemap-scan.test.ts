import process from "node:process";
import { beforeEach, describe, expect, type TestContext, test } from "vitest";
import { lacking } from "../../test/support/requirement.ts";
import {
  PAGE_IS_PRESENT,
  PAGE_IS_SWAPPED,
  PAGE_IS_WRITTEN,
  PAGE_SIZE,
  PM_HI_UFFD_WP,
  PM_SCAN_CHECK_WPASYNC,
  PM_SCAN_WP_MATCHING,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
} from "../abi/index.ts";
import { LinuxError } from "./linux-error.ts";
import { PagemapFile } from "./pagemap.ts";
import { PagemapScanner } from "./pagemap-scan.ts";
import { SharedMemory } from "./shared-memory.ts";
import { Userfaultfd } from "./userfaultfd.ts";

const PRESENT = { mask: PAGE_IS_PRESENT, returned: PAGE_IS_PRESENT };

function supported(): boolean {
  using memory = new SharedMemory(1);
  using pagemap = PagemapFile.open(process.pid);
  try {
    new PagemapScanner().apply(pagemap, { start: memory.address, end: memory.address + PAGE_SIZE });
    return true;
  } catch (error) {
    if (error instanceof LinuxError && error.code === "ENOTTY") return false;
    throw error;
  }
}

function asyncUserfaultfd(context: TestContext): Userfaultfd {
  try {
    const userfaultfd = Userfaultfd.create();
    userfaultfd.handshake({ required: UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_WP_ASYNC });
    return userfaultfd;
  } catch (error) {
    if (error instanceof LinuxError) lacking(context, error.message);
    throw error;
  }
}

describe("PAGEMAP_SCAN", () => {
  beforeEach((context) => {
    if (!supported()) lacking(context, "PAGEMAP_SCAN (Linux 6.7)");
  });

  test.each([1, 3, 4096])("finds all runs, with %d regions a call", (regionsMax) => {
    const pages = 500;
    using memory = new SharedMemory(pages);
    const isTouched = (page: number) => page % 7 < 3 && page >= 10;
    for (let page = 0; page < pages; page++) if (isTouched(page)) memory.touch(page);
    using pagemap = PagemapFile.open(process.pid);
    const found: number[] = [];
    const count = new PagemapScanner({ regionsMax }).scan(
      pagemap,
      { start: memory.address, end: memory.address + pages * PAGE_SIZE, ...PRESENT },
      (start, end, categories) => {
        expect(categories).toBe(PAGE_IS_PRESENT);
        for (let page = start; page < end; page += PAGE_SIZE) found.push((page - memory.address) / PAGE_SIZE);
      },
    );
    expect(found).toEqual([...Array(pages).keys()].filter(isTouched));
    expect(count).toBe(70);
  });

  test("a category can be asked for, turned round", () => {
    using memory = new SharedMemory(10);
    for (const page of [0, 1, 9]) memory.touch(page);
    using pagemap = PagemapFile.open(process.pid);
    const found: string[] = [];
    const range = { start: memory.address, end: memory.address + 10 * PAGE_SIZE };
    new PagemapScanner().scan(
      pagemap,
      { ...range, mask: PAGE_IS_PRESENT, inverted: PAGE_IS_PRESENT, returned: PAGE_IS_SWAPPED },
      (start, end) =>
        found.push(`${(start - memory.address) / PAGE_SIZE}-${(end - memory.address) / PAGE_SIZE}`),
    );
    expect(found).toEqual(["2-9"]);
  });

  test("protecting where nothing is registered is skipped, or fails if that is asked", () => {
    using memory = new SharedMemory(4);
    memory.touch(0);
    using pagemap = PagemapFile.open(process.pid);
    const range = { start: memory.address, end: memory.address + 4 * PAGE_SIZE };
    const scanner = new PagemapScanner();
    scanner.apply(pagemap, { ...range, ...PRESENT, flags: PM_SCAN_WP_MATCHING });
    expect(() =>
      scanner.apply(pagemap, { ...range, ...PRESENT, flags: PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC }),
    ).toThrow(/PAGEMAP_SCAN of process .* EPERM: every page .* registered/);
  });

  test("protects what is present, in as many calls as it takes; later tells what was written", (context) => {
    const pages = 100;
    using memory = new SharedMemory(pages);
    const userfaultfd = asyncUserfaultfd(context);
    try {
      userfaultfd.register(memory.address, pages * PAGE_SIZE);
      for (let page = 0; page < pages; page += 2) memory.touch(page);
      using pagemap = PagemapFile.open(process.pid);
      const scanner = new PagemapScanner({ regionsMax: 7 });
      const range = { start: memory.address, end: memory.address + pages * PAGE_SIZE };
      const arm = { ...range, ...PRESENT, flags: PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC };
      expect(scanner.scan(pagemap, arm, () => undefined)).toBe(pages / 2);
      const words = new Uint32Array(2 * pages);
      pagemap.read(memory.firstPage, words);
      const armed = Array.from({ length: pages }, (_, page) => (words[2 * page + 1] & PM_HI_UFFD_WP) !== 0);
      expect(armed).toEqual(armed.map((_, page) => page % 2 === 0));

      memory.touch(4);
      memory.touch(40);
      const written: number[] = [];
      const mask = PAGE_IS_PRESENT | PAGE_IS_WRITTEN;
      scanner.scan(pagemap, { ...range, mask, returned: mask }, (start) => {
        written.push((start - memory.address) / PAGE_SIZE);
      });
      expect(written).toEqual([4, 40]);
      scanner.apply(pagemap, arm);
      expect(scanner.scan(pagemap, { ...range, mask, returned: mask }, () => undefined)).toBe(0);
    } finally {
      userfaultfd[Symbol.dispose]();
    }
  });

  test("a range that is no whole pages is refused by the kernel", () => {
    using pagemap = PagemapFile.open(process.pid);
    expect(() => new PagemapScanner().apply(pagemap, { start: 4097, end: 8192 })).toThrow(/EINVAL/);
  });
});
