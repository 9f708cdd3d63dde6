import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { findMemoryHierarchy, MemoryCgroup } from "./cgroup.ts";

let top: string;
beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), "ptemark cgroup-"));
});
afterEach(() => rmSync(top, { recursive: true, force: true }));

describe("the memory controller is found in mountinfo", () => {
  const line = (path: string, rest: string) =>
    `35 31 0:32 / ${path.replaceAll(" ", "\\040")} rw,relatime shared:9 - ${rest}\n`;

  test("version 1, by the options of the mount", () => {
    const text =
      line("/sys/fs/cgroup/cpu", "cgroup cgroup rw,cpu") +
      line("/sys/fs/cgroup/memory", "cgroup cgroup rw,memory");
    expect(findMemoryHierarchy(text)).toEqual({ version: 1, path: "/sys/fs/cgroup/memory" });
  });

  test("version 2, by its controllers", () => {
    const text = line(top, "cgroup2 cgroup2 rw");
    writeFileSync(join(top, "cgroup.controllers"), "cpu memory\n");
    expect(findMemoryHierarchy(text)).toEqual({ version: 2, path: top });
    writeFileSync(join(top, "cgroup.controllers"), "cpu\n");
    expect(findMemoryHierarchy(text)).toBeUndefined();
  });

  test("none", () => expect(findMemoryHierarchy(line("/tmp", "tmpfs tmpfs rw,memory"))).toBeUndefined());
});

/**
 * A folder that stands for the top of a hierarchy: the kernel is not in it, so that the test reads what was
 * written.
 */
function inFolder(version: 1 | 2) {
  for (const name of ["cgroup.procs", "cgroup.subtree_control"]) writeFileSync(join(top, name), "");
  const cgroup = MemoryCgroup.create("test", { version, path: top });
  const file = (name: string) => join(cgroup.path, name);
  return {
    cgroup,
    read: (name: string) => readFileSync(file(name), "utf8"),
    write: (name: string, text: string) => writeFileSync(file(name), text),
  };
}

test("version 2 writes memory.max, reads memory.current and reclaims as much", () => {
  const { cgroup, read, write } = inFolder(2);
  expect(readFileSync(join(top, "cgroup.subtree_control"), "utf8")).toBe("+memory");
  cgroup.add(123);
  expect(read("cgroup.procs")).toBe("123");
  cgroup.setLimit(4096);
  expect(read("memory.max")).toBe("4096");
  cgroup.setLimit(undefined);
  expect(read("memory.max")).toBe("max");
  write("memory.current", "8192\n");
  expect(cgroup.usageBytes()).toBe(8192);
  expect(cgroup.reclaimAll()).toBe(8192);
  expect(read("memory.reclaim")).toBe("8192");
});

test("version 1 has other names for them", () => {
  const { cgroup, read, write } = inFolder(1);
  cgroup.setLimit(4096);
  expect(read("memory.limit_in_bytes")).toBe("4096");
  cgroup.setLimit(undefined);
  expect(read("memory.limit_in_bytes")).toBe("-1");
  write("memory.usage_in_bytes", "8192\n");
  expect(cgroup.reclaimAll()).toBe(8192);
  expect(read("memory.force_empty")).toBe("0");
});

test("processes that are left move up; what cannot be removed is told", () => {
  const { cgroup, write } = inFolder(1);
  write("cgroup.procs", "321\n");
  // A folder with a file in it stands for a cgroup that is in use.
  expect(() => cgroup[Symbol.dispose]()).toThrow(/rmdir.*not empty/);
  expect(readFileSync(join(top, "cgroup.procs"), "utf8")).toBe("321\n");
});

test("an empty one is removed", () => {
  mkdirSync(join(top, "other"));
  const cgroup = MemoryCgroup.create("test", { version: 1, path: top });
  rmSync(join(cgroup.path, "cgroup.procs"), { force: true });
  cgroup[Symbol.dispose]();
  expect(readdirSync(top)).toEqual(["other"]);
});
