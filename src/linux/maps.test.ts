import { statSync } from "node:fs";
import process from "node:process";
import { expect, test } from "vitest";
import { lacking } from "../../test/support/requirement.ts";
import { mapFilesPath, parseMaps, readMaps } from "./maps.ts";
import { SharedMemory } from "./shared-memory.ts";

test("a line is taken apart", () => {
  expect(
    parseMaps("7f0a00000000-7f0a00002000 r-xs 00003000 fe:01 260131                     /usr/bin/cat\n"),
  ).toEqual([
    {
      start: 0x7f0a_0000_0000,
      end: 0x7f0a_0000_2000,
      read: true,
      write: false,
      exec: true,
      shared: true,
      offsetBytes: 0x3000,
      device: "fe:01",
      inode: 260131,
      path: "/usr/bin/cat",
      deleted: false,
    },
  ]);
});

test.each([
  ["", "", false],
  ["[heap]", "[heap]", false],
  ["[anon:a (deleted)]", "[anon:a (deleted)]", false],
  ["/dev/zero (deleted)", "/dev/zero", true],
  ["/memfd:guest ram (deleted)", "/memfd:guest ram", true],
  ["/tmp/with  two spaces ", "/tmp/with  two spaces ", false],
  ["/tmp/new\\012line (deleted)", "/tmp/new\nline", true],
])("the name %j", (shown, path, deleted) => {
  const [entry] = parseMaps(`00400000-00401000 rw-p 00000000 00:00 0                       ${shown}\n`);
  expect(entry).toMatchObject({ start: 0x40_0000, path, deleted });
});

test("text that is no mapping is passed over", () => {
  expect(parseMaps("\nRss:   4 kB\nVmFlags: rd\n")).toEqual([]);
});

test("this process's own maps are in order, and name a memfd", () => {
  using memory = new SharedMemory(3, "it has\na name");
  const entries = readMaps(process.pid);
  for (const [index, { start, end }] of entries.entries()) {
    expect(start).toBeLessThan(end);
    if (index > 0) expect(start).toBeGreaterThanOrEqual(entries[index - 1].end);
  }
  const entry = memory.entry();
  expect(entry).toMatchObject({ path: "/memfd:it has\na name", deleted: true, shared: true, offsetBytes: 0 });
  expect(entry.end - entry.start).toBe(3 * 4096);
  expect(entry.inode).toBe(statSync(`/proc/self/fd/${memory.fd}`).ino);
});

test("map_files leads to the object", (context) => {
  using memory = new SharedMemory(1);
  const path = mapFilesPath(process.pid, memory.entry());
  let inode: number;
  try {
    inode = statSync(path).ino;
  } catch {
    return lacking(context, "map_files takes CAP_CHECKPOINT_RESTORE");
  }
  expect(inode).toBe(memory.entry().inode);
});

test("no such process is ESRCH", () => {
  expect(() => readMaps(2 ** 22 + 1)).toThrow(
    /read \/proc\/4194305\/maps: ESRCH: there is no process 4194305/,
  );
});
