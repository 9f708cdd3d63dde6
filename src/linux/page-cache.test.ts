import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, expect, test } from "vitest";
import { lacking } from "../../test/support/requirement.ts";
import { MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PAGE_SIZE, PROT_READ, PROT_WRITE } from "../abi/index.ts";
import {
  addressOf,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  fallocate,
  mmap,
  munmap,
  SYS,
  syscallRaw,
} from "./libc.ts";
import { readMaps } from "./maps.ts";
import { PageCacheView } from "./page-cache.ts";
import { SharedMemory } from "./shared-memory.ts";

const MFD_HUGETLB = 4;
const MAP_NORESERVE = 0x4000;

function dataRuns(view: PageCacheView, first: number, pages: number): string[] {
  const runs: string[] = [];
  view.forEachData(first, pages, (start, count) => runs.push(`${start}+${count}`));
  return runs;
}

function residents(view: PageCacheView, first: number, pages: number): string {
  const resident = new Uint8Array(pages).fill(9);
  view.mincore(first, pages, resident);
  return resident.join("");
}

/** The view of what is mapped at an address of this process. */
function viewAt(address: number): PageCacheView {
  const entry = readMaps(process.pid).find(({ start, end }) => start <= address && address < end);
  if (!entry) throw new Error("nothing is mapped there");
  return PageCacheView.open(process.pid, entry);
}

describe("a memfd", () => {
  test("what is in memory, what has content, what is counted", () => {
    using memory = new SharedMemory(16);
    for (const page of [0, 1, 5, 15]) memory.touch(page);
    using view = PageCacheView.open(process.pid, memory.entry());
    expect(view.isShmem).toBe(true);
    expect(residents(view, 0, 16)).toBe("1100010000000001");
    expect(residents(view, 5, 3)).toBe("100");
    expect(dataRuns(view, 0, 16)).toEqual(["0+2", "5+1", "15+1"]);
    expect(dataRuns(view, 1, 5)).toEqual(["1+1", "5+1"]);
    expect(dataRuns(view, 6, 9)).toEqual([]);
    if (view.cachestatRefusal === "") {
      expect(view.cachestat(0, 16)).toEqual({ cached: 4, evicted: 0 });
      expect(view.cachestat(5, 1)).toEqual({ cached: 1, evicted: 0 });
      expect(view.cachestat(5, 0)).toEqual({ cached: 0, evicted: 0 });
    }
    expect(view.stat()).toMatchObject({ sizePages: 16, blocks: 4 * 8 });
  });

  test("looking allocates nothing", () => {
    using memory = new SharedMemory(64);
    memory.touch(3);
    using view = PageCacheView.open(process.pid, memory.entry());
    residents(view, 0, 64);
    dataRuns(view, 0, 64);
    view.cachestat(0, 64);
    expect(view.stat().blocks).toBe(8);
  });

  test("a page that was fallocated is counted, and has no content", () => {
    using memory = new SharedMemory(4);
    fallocate(memory.fd, 0, PAGE_SIZE, PAGE_SIZE);
    using view = PageCacheView.open(process.pid, memory.entry());
    expect(dataRuns(view, 0, 4)).toEqual([]);
    expect(residents(view, 0, 4)).toBe("0000");
    expect(view.stat().blocks).toBe(8);
    if (view.cachestatRefusal === "") expect(view.cachestat(1, 1)).toEqual({ cached: 1, evicted: 0 });
  });

  test("a removal changes the stamp", () => {
    using memory = new SharedMemory(4);
    memory.touch(2);
    using view = PageCacheView.open(process.pid, memory.entry());
    const before = view.stat();
    expect(view.stat()).toEqual(before);
    fallocate(memory.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * PAGE_SIZE, PAGE_SIZE);
    expect(view.stat().blocks).toBe(0);
    expect(residents(view, 0, 4)).toBe("0000");
  });

  test("behind its end there is nothing, also when it has shrunk or grown", () => {
    using memory = new SharedMemory(4);
    for (let page = 0; page < 4; page++) memory.touch(page);
    using view = PageCacheView.open(process.pid, memory.entry());
    expect(residents(view, 3, 4)).toBe("1000");
    expect(residents(view, 100, 2)).toBe("00");
    ftruncateSync(memory.fd, 2 * PAGE_SIZE);
    expect(residents(view, 0, 4)).toBe("1100");
    expect(dataRuns(view, 0, 4)).toEqual(["0+2"]);
    expect(view.stat().sizePages).toBe(2);
    ftruncateSync(memory.fd, 8 * PAGE_SIZE);
    expect(residents(view, 0, 8)).toBe("11000000");
  });
});

test("nameless shared memory is an object too", (context) => {
  if (process.geteuid?.() !== 0) lacking(context, "root, for map_files");
  const lengthBytes = 8 * PAGE_SIZE;
  const pointer = mmap({
    lengthBytes,
    prot: PROT_READ | PROT_WRITE,
    flags: MAP_SHARED | MAP_ANONYMOUS,
    fd: -1,
  });
  try {
    using view = viewAt(Number(pointer));
    expect(view.isShmem).toBe(true);
    expect(view.stat()).toMatchObject({ sizePages: 8, blocks: 0 });
    expect(residents(view, 0, 8)).toBe("00000000");
  } finally {
    munmap(pointer, lengthBytes);
  }
});

describe("a file", () => {
  test("is in memory after it was written", () => {
    const folder = mkdtempSync(join(tmpdir(), "ptemark-page-cache-"));
    try {
      const path = join(folder, "a file");
      writeFileSync(path, new Uint8Array(3 * PAGE_SIZE + 1).fill(1));
      const fd = openSync(path, "r");
      const pointer = mmap({ lengthBytes: 4 * PAGE_SIZE, prot: PROT_READ, flags: MAP_SHARED, fd });
      closeSync(fd);
      try {
        using view = viewAt(Number(pointer));
        expect(residents(view, 0, 4)).toBe("1111");
        expect(dataRuns(view, 0, 4)).toEqual(["0+4"]);
        expect(view.stat().sizePages).toBe(4);
      } finally {
        munmap(pointer, 4 * PAGE_SIZE);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("a device is not opened", () => {
    const fd = openSync("/dev/zero", "r");
    const pointer = mmap({ lengthBytes: PAGE_SIZE, prot: PROT_READ, flags: MAP_PRIVATE, fd });
    try {
      expect(() => viewAt(Number(pointer))).toThrow(
        /a device's memory has no page cache|private memory has none/,
      );
    } finally {
      munmap(pointer, PAGE_SIZE);
      closeSync(fd);
    }
  });
});

describe("refused, with the reason", () => {
  test("private memory", () => {
    const heap = readMaps(process.pid).find(({ path }) => path === "[heap]");
    if (!heap) throw new Error("no heap");
    expect(() => PageCacheView.open(process.pid, heap)).toThrow(
      /page cache of \[heap\]: .*private memory has none/,
    );
  });

  test("hugetlbfs, which has no answers", (context) => {
    const fd = syscallRaw(SYS.memfd_create, addressOf(new TextEncoder().encode("huge\0")), MFD_HUGETLB);
    if (fd < 0) lacking(context, "hugetlbfs");
    const lengthBytes = 2 ** 21;
    ftruncateSync(fd, lengthBytes);
    try {
      const pointer = mmap({ lengthBytes, prot: PROT_READ, flags: MAP_SHARED | MAP_NORESERVE, fd });
      expect(() => viewAt(Number(pointer))).toThrow(/hugetlbfs does not, and its pages are never swapped/);
      munmap(pointer, lengthBytes);
    } finally {
      closeSync(fd);
    }
  });

  test("a mapping that is gone", () => {
    const memory = new SharedMemory(1);
    const entry = memory.entry();
    memory[Symbol.dispose]();
    expect(() => PageCacheView.open(process.pid, entry)).toThrow(/ENOENT: the mapping is gone/);
  });

  test("a process that has ended", () => {
    using memory = new SharedMemory(1);
    expect(() => PageCacheView.open(2 ** 22 + 1, memory.entry())).toThrow(/ESRCH/);
  });
});
