// On the running kernel, over memory of this process.
import { closeSync, openSync, readSync } from "node:fs";
import process from "node:process";
import { afterEach, beforeEach, expect, test } from "vitest";
import { lacking } from "../../test/support/requirement.ts";
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
  UFFD_FEATURE_PAGEFAULT_FLAG_WP,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
} from "../abi/index.ts";
import { memfdCreate, mmap, munmap, type Pointer, viewOf } from "./libc.ts";
import { Userfaultfd } from "./userfaultfd.ts";

const PAGE = 4096;
const PAGES = 8;
const LENGTH = PAGES * PAGE;
const WANTED = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_HUGETLBFS_SHMEM;

let pointer: Pointer;
let start: number;
let bytes: Uint8Array;
let pagemap: number;

/** Why these tests can't be run here, if they can't. */
function missing(): string | undefined {
  try {
    const absent = WANTED & ~Userfaultfd.offeredFeatures();
    return absent === 0 ? undefined : `needs userfaultfd features 0x${absent.toString(16)} (Linux 6.7)`;
  } catch (error) {
    return `needs userfaultfd: ${(error as Error).message}`;
  }
}

beforeEach((context) => {
  const reason = missing();
  if (reason !== undefined) lacking(context, reason);
  pointer = mmap({
    lengthBytes: LENGTH,
    prot: PROT_READ | PROT_WRITE,
    flags: MAP_SHARED | MAP_ANONYMOUS,
    fd: -1,
  });
  start = Number(pointer);
  bytes = new Uint8Array(viewOf(pointer, LENGTH));
  pagemap = openSync("/proc/self/pagemap", "r");
});

afterEach(() => {
  closeSync(pagemap);
  munmap(pointer, LENGTH);
});

/** Bit 57 of each page's pagemap entry: write-protected. */
function protectedPages(): boolean[] {
  const words = new Uint32Array(2 * PAGES);
  readSync(pagemap, words, 0, words.byteLength, (start / PAGE) * 8);
  return Array.from({ length: PAGES }, (_, page) => ((words[2 * page + 1] >>> 25) & 1) === 1);
}

function touchAll(): void {
  for (let page = 0; page < PAGES; page++) bytes[page * PAGE] = page + 1;
}

const NONE = new Array<boolean>(PAGES).fill(false);
const ALL = new Array<boolean>(PAGES).fill(true);

test("a page is protected until it is written, by the kernel itself", () => {
  using uffd = Userfaultfd.create();
  expect(uffd.handshake({ required: WANTED })).toBe(WANTED);
  expect(uffd.features).toBe(WANTED);
  touchAll();
  uffd.register(start, LENGTH);
  expect(protectedPages()).toEqual(NONE);
  uffd.writeProtect(start, LENGTH, "protect");
  expect(protectedPages()).toEqual(ALL);
  expect(bytes[3 * PAGE]).toBe(4); // a read leaves it
  expect(protectedPages()).toEqual(ALL);
  bytes[3 * PAGE] = 99; // nobody handles the fault
  expect(protectedPages()).toEqual(ALL.map((_, page) => page !== 3));
  expect(bytes[3 * PAGE]).toBe(99);
});

test("resolve takes protection back, of part of the range too", () => {
  using uffd = Userfaultfd.create();
  uffd.handshake({ required: WANTED });
  touchAll();
  uffd.register(start, LENGTH);
  uffd.writeProtect(start, LENGTH, "protect");
  uffd.writeProtect(start + 2 * PAGE, 3 * PAGE, "resolve");
  expect(protectedPages()).toEqual([true, true, false, false, false, true, true, true]);
});

test("unregister and dispose end all protection", () => {
  for (const end of ["unregister", "dispose"] as const) {
    using uffd = Userfaultfd.create();
    uffd.handshake({ required: WANTED });
    touchAll();
    uffd.register(start, LENGTH);
    uffd.writeProtect(start, LENGTH, "protect");
    if (end === "unregister") uffd.unregister(start, LENGTH);
    else uffd[Symbol.dispose]();
    expect(protectedPages(), end).toEqual(NONE);
  }
});

test("disposing twice closes once", () => {
  const uffd = Userfaultfd.create();
  const { fd } = uffd;
  uffd[Symbol.dispose]();
  expect(uffd.fd).toBe(-1);
  const other = openSync("/dev/null", "r");
  expect(other).toBe(fd); // the number is free again, and somebody else's now
  uffd[Symbol.dispose]();
  expect(() => closeSync(other)).not.toThrow();
});

test("optional features that this kernel has not are left out; required ones are an error", () => {
  const offered = Userfaultfd.offeredFeatures();
  const unknown = 1 << 30;
  expect(offered & unknown).toBe(0);
  using uffd = Userfaultfd.create();
  expect(uffd.handshake({ required: UFFD_FEATURE_PAGEFAULT_FLAG_WP, optional: WANTED | unknown })).toBe(
    (WANTED & offered) | UFFD_FEATURE_PAGEFAULT_FLAG_WP,
  );
  using another = Userfaultfd.create();
  expect(() => another.handshake({ required: unknown })).toThrow(/UFFDIO_API: EINVAL: features that/);
});

test("errors tell what is missing", () => {
  using uffd = Userfaultfd.create();
  uffd.handshake({ required: WANTED });
  expect(() => uffd.handshake({ required: WANTED })).toThrow(/a descriptor that has not had its handshake/);
  touchAll();
  expect(() => uffd.writeProtect(start, LENGTH, "protect")).toThrow(/ENOENT: a range that is registered/);
  uffd.register(start, LENGTH);
  using other = Userfaultfd.create();
  other.handshake({ required: WANTED });
  expect(() => other.register(start, LENGTH)).toThrow(/UFFDIO_REGISTER: EBUSY: a range that no other/);
  expect(() => other.register(start + 1, LENGTH)).toThrow(/UFFDIO_REGISTER: EINVAL/);
});

test("a mapping that can never be written can't be registered", () => {
  const memfd = memfdCreate("ptemark-test");
  const readOnly = openSync(`/proc/self/fd/${memfd}`, "r");
  const mapped = mmap({ lengthBytes: PAGE, prot: PROT_READ, flags: MAP_SHARED, fd: readOnly });
  try {
    using uffd = Userfaultfd.create();
    uffd.handshake({ required: WANTED });
    expect(() => uffd.register(Number(mapped), PAGE)).toThrow(/EPERM: a mapping that may be made writable/);
  } finally {
    munmap(mapped, PAGE);
    closeSync(readOnly);
    closeSync(memfd);
  }
});

test("a file's private mapping can't be write-protected", () => {
  const file = openSync(process.execPath, "r");
  const mapped = mmap({ lengthBytes: PAGE, prot: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE, fd: file });
  try {
    using uffd = Userfaultfd.create();
    uffd.handshake({ required: UFFD_FEATURE_PAGEFAULT_FLAG_WP });
    expect(() => uffd.register(Number(mapped), PAGE)).toThrow(/UFFDIO_REGISTER: EINVAL: mapped memory/);
  } finally {
    munmap(mapped, PAGE);
    closeSync(file);
  }
});
