/** Every kind of mapping gets a right answer, or "unknown" with the reason. */
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import {
  MADV,
  MADV_GUARD_INSTALL,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
} from "../../src/abi/index.ts";
import { drainLruBatches, ZramSwap } from "../../src/linux/index.ts";
import { madvise, mmap, munmap, syscall, viewOf } from "../../src/linux/libc.ts";
import { holdSetting } from "../../src/linux/setting.ts";
import { SharedMemory } from "../../src/linux/shared-memory.ts";
import {
  ExactDetector,
  LinuxTarget,
  type Mapping,
  type MappingScan,
  PageCacheDetector,
  PagemapDetector,
  type StateCounts,
} from "../../src/residency/index.ts";
import { LIVE_TIMEOUT_MS, needs, needsZram } from "../support/live.ts";

const PAGES = 16;
const LENGTH = PAGES * PAGE_SIZE;
const HUGE_BYTES = 2 << 20;
const MAP_HUGETLB = 0x4_0000;

/** Of x86-64 (`arch/x86/entry/syscalls/syscall_64.tbl`), and their constants (`include/uapi/linux/ipc.h`). */
const SYS_SHMGET = 29;
const SYS_SHMAT = 30;
const SYS_SHMCTL = 31;
const SYS_SHMDT = 67;
const IPC_PRIVATE = 0;
const IPC_RMID = 0;

let zram: ZramSwap | undefined;
let target: LinuxTarget;

beforeAll(async () => {
  if (ZramSwap.obstacle() === undefined)
    zram = await ZramSwap.create({ sizeBytes: 32 << 20, waitMs: LIVE_TIMEOUT_MS });
  target = LinuxTarget.open(process.pid);
}, LIVE_TIMEOUT_MS);

afterAll(() => {
  target[Symbol.dispose]();
  zram?.[Symbol.dispose]();
});

beforeEach((context) => needsZram(context));

interface Memory {
  readonly address: number;
  readonly bytes: Uint8Array;
}

function map(flags: number, fd = -1, prot = PROT_READ | PROT_WRITE): Memory {
  const pointer = mmap({ lengthBytes: LENGTH, prot, flags, fd });
  onTestFinished(() => munmap(pointer, LENGTH));
  return { address: Number(pointer), bytes: new Uint8Array(viewOf(pointer, LENGTH)) };
}

function touch({ bytes }: Memory, first: number, pages: number): void {
  for (let page = first; page < first + pages; page++)
    bytes.fill(page + 1, page * PAGE_SIZE, (page + 1) * PAGE_SIZE);
}

function pageOut({ address }: Memory, first: number, pages: number): void {
  drainLruBatches();
  madvise(BigInt(address + first * PAGE_SIZE), pages * PAGE_SIZE, MADV.PAGEOUT);
}

/** The part of a mapping that the memory is: it may have been merged with its neighbour. */
function mappingOf({ address }: Memory, pages = PAGES): Mapping {
  const found = target.mappings().find(({ start, end }) => start <= address && address < end);
  if (found === undefined) throw new Error("not in maps");
  const before = (address - found.start) / PAGE_SIZE;
  return {
    ...found,
    start: address,
    end: address + pages * PAGE_SIZE,
    objectFirstPage: found.objectFirstPage + (found.objectId === "" ? 0 : before),
  };
}

function someOf(counts: StateCounts): Partial<StateCounts> {
  return Object.fromEntries(Object.entries(counts).filter(([, pages]) => pages > 0));
}

/** What exact and page-cache say of a mapping, which must be the same. */
function scan(memory: Memory, pages = PAGES): MappingScan & { readonly some: Partial<StateCounts> } {
  const mapping = mappingOf(memory, pages);
  const exact = new ExactDetector(target).scan(mapping);
  expect(new PageCacheDetector(target).scan(mapping).states).toEqual(exact.states);
  return { ...exact, some: someOf(exact.counts) };
}

function pagemapAlone(memory: Memory): Partial<StateCounts> {
  return someOf(new PagemapDetector(target).scan(mappingOf(memory)).counts);
}

describe("shared memory", () => {
  const SHARED = { present: 6, swapped: 4, hole: 6 };

  function use(memory: Memory): void {
    touch(memory, 0, 10);
    pageOut(memory, 0, 4);
  }

  test("a memfd", () => {
    using memory = new SharedMemory(PAGES, "of a kind");
    for (let page = 0; page < 10; page++) memory.touch(page);
    memory.pageOut(0, 4);
    const { mapping, some } = scan({ address: memory.address, bytes: new Uint8Array(0) });
    expect([mapping.kind, mapping.shared, mapping.name, some]).toEqual([
      "shmem",
      true,
      "memfd:of a kind",
      SHARED,
    ]);
    // By itself the kernel tells what is present, and no more.
    expect(pagemapAlone({ address: memory.address, bytes: new Uint8Array(0) })).toEqual({
      present: 6,
      unknown: 10,
    });
  });

  test("shared anonymous memory", () => {
    const memory = map(MAP_SHARED | MAP_ANONYMOUS);
    use(memory);
    const { mapping, some } = scan(memory);
    expect([mapping.kind, mapping.name, some]).toEqual(["shmem", "shared anonymous", SHARED]);
  });

  test("a file on tmpfs, mapped in part", () => {
    const folder = mkdtempSync("/dev/shm/ptemark-");
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, "segment");
    writeFileSync(path, new Uint8Array((PAGES + 4) * PAGE_SIZE).fill(7));
    const fd = openSync(path, "r+");
    onTestFinished(() => closeSync(fd));
    const memory = map(MAP_SHARED, fd);
    touch(memory, 0, 10);
    pageOut(memory, 0, 4);
    const { mapping, some } = scan(memory);
    expect([mapping.kind, mapping.name, some]).toEqual([
      "shmem",
      path,
      { present: 6, swapped: 4, cached: 6 },
    ]);
  });

  test("a SysV segment", () => {
    const id = syscall("shmget", SYS_SHMGET, [IPC_PRIVATE, LENGTH, 0o600]);
    const address = syscall("shmat", SYS_SHMAT, [id, 0, 0]);
    syscall("shmctl", SYS_SHMCTL, [id, IPC_RMID, 0]); // goes with its last mapping
    onTestFinished(() => {
      syscall("shmdt", SYS_SHMDT, [address]);
    });
    const memory = { address, bytes: new Uint8Array(viewOf(BigInt(address), LENGTH)) };
    use(memory);
    const { mapping, some } = scan(memory);
    expect([mapping.kind, mapping.name, some]).toEqual(["shmem", "SYSV 0x00000000", SHARED]);
  });
});

describe("a private mapping", () => {
  test("of shared memory: own copies are the page table's, the rest is the object's", () => {
    using object = new SharedMemory(PAGES);
    for (let page = 0; page < 12; page++) object.touch(page);
    const memory = map(MAP_PRIVATE, object.fd);
    touch(memory, 0, 4); // own copies
    pageOut(memory, 0, 2); // own, in swap
    object.madvise(6, 6, MADV.DONTNEED);
    object.madvise(6, 6, MADV.POPULATE_READ);
    object.pageOut(6, 3);
    const { mapping, some } = scan(memory);
    expect([mapping.kind, mapping.shared]).toEqual(["shmem", false]);
    expect(some).toEqual({ present: 2, swapped: 2 + 3, cached: 2 + 3, hole: 4 });
  });

  test("of anonymous memory: pagemap is right by itself", () => {
    const memory = map(MAP_PRIVATE | MAP_ANONYMOUS);
    touch(memory, 0, 10);
    pageOut(memory, 0, 4);
    const { mapping, some, note } = scan(memory);
    expect([mapping.kind, some]).toEqual(["anon", { present: 6, swapped: 4, hole: 6 }]);
    expect(note).toContain("copy in the swap cache");
    expect(pagemapAlone(memory)).toEqual({ present: 6, swapped: 4, hole: 6 });
  });

  test("guard regions in it are not swap", (context) => {
    const memory = map(MAP_PRIVATE | MAP_ANONYMOUS);
    touch(memory, 0, 10);
    try {
      madvise(BigInt(memory.address), 3 * PAGE_SIZE, MADV_GUARD_INSTALL);
    } catch {
      needs(context, "guard regions (Linux 6.13)");
    }
    expect(scan(memory).some).toEqual({ present: 7, hole: 9 });
  });

  test("of a file on a disk", () => {
    const folder = mkdtempSync(join(tmpdir(), "ptemark-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, "file");
    writeFileSync(path, new Uint8Array((PAGES - 2) * PAGE_SIZE).fill(7));
    const fd = openSync(path, "r");
    onTestFinished(() => closeSync(fd));
    const memory = map(MAP_PRIVATE, fd);
    touch(memory, 0, 3);
    const { mapping, some } = scan(memory);
    expect([mapping.kind, mapping.name]).toEqual(["file", path]);
    // Written a moment ago, so it is in the page cache; two pages are beyond its end.
    expect(some).toEqual({ present: 3, cached: PAGES - 5, hole: 2 });
  });
});

describe("memory that nobody can be asked about", () => {
  test.for([
    ["private", MAP_PRIVATE],
    ["shared", MAP_SHARED],
  ] as const)("hugetlbfs, %s", ([, type], context) => {
    if (zram !== undefined) holdSetting(zram.guard, { path: "/proc/sys/vm/nr_hugepages", value: "2" });
    const flags = type | MAP_ANONYMOUS | MAP_HUGETLB;
    let pointer: bigint;
    try {
      pointer = mmap({ lengthBytes: HUGE_BYTES, prot: PROT_READ | PROT_WRITE, flags, fd: -1 });
    } catch {
      return needs(context, "a free huge page (vm.nr_hugepages)");
    }
    onTestFinished(() => munmap(pointer, HUGE_BYTES));
    const memory = { address: Number(pointer), bytes: new Uint8Array(viewOf(pointer, HUGE_BYTES)) };
    const pages = HUGE_BYTES / PAGE_SIZE;
    const before = scan(memory, pages);
    expect([before.mapping.kind, before.some]).toEqual(["hugetlb", { unknown: pages }]);
    expect(before.note).toContain("never swapped");
    memory.bytes[0] = 1;
    expect(scan(memory, pages).some).toEqual({ present: pages });
  });

  test("the kernel's own pages are unknown, with the reason", () => {
    const own = target.mappings().filter(({ kind }) => kind === "special");
    expect(own.map(({ name }) => name)).toEqual(expect.arrayContaining(["[vvar]", "[vdso]"]));
    for (const mapping of own) {
      const { counts, note } = new ExactDetector(target).scan(mapping);
      expect(counts.swapped + counts.hole + counts.cached).toBe(0);
      if (counts.unknown > 0) expect(note).toContain("nobody can be asked");
    }
  });
});

test("a mapping that is gone when it is asked about is unknown, with the reason", () => {
  const pointer = mmap({ lengthBytes: LENGTH, prot: PROT_READ, flags: MAP_SHARED | MAP_ANONYMOUS, fd: -1 });
  const mapping = mappingOf({ address: Number(pointer), bytes: new Uint8Array(0) });
  munmap(pointer, LENGTH);
  const { counts, note } = new ExactDetector(target).scan(mapping);
  expect([someOf(counts), note]).toEqual([{ unknown: PAGES }, expect.stringContaining("gone")]);
});
