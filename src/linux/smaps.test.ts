import process from "node:process";
import { expect, test } from "vitest";
import { SharedMemory } from "./shared-memory.ts";
import { parseSmaps, readSmaps, readSmapsRollup } from "./smaps.ts";

const TEXT = `7f0a00000000-7f0a00002000 rw-s 00000000 00:01 1031 /memfd:a Rss: 4 kB (deleted)
Size:                  8 kB
Rss:                   4 kB
Swap:               1024 kB
THPeligible:           1
ProtectionKey:         0
VmFlags: rd wr sh mr mw me ms uw 
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
Size:                  4 kB
VmFlags: ex 
`;

test("fields are in bytes, but for what is not in kB; flags are apart", () => {
  const [memfd, vsyscall] = parseSmaps(TEXT);
  expect(memfd).toMatchObject({ path: "/memfd:a Rss: 4 kB", deleted: true, shared: true });
  expect(memfd.fields).toEqual({ Size: 8192, Rss: 4096, Swap: 2 ** 20, THPeligible: 1, ProtectionKey: 0 });
  expect([...memfd.vmFlags]).toEqual(["rd", "wr", "sh", "mr", "mw", "me", "ms", "uw"]);
  expect(vsyscall.fields).toEqual({ Size: 4096 });
});

test("this process: what was touched is resident, in the mapping and in the sum", () => {
  using memory = new SharedMemory(16);
  for (const page of [0, 1, 2]) memory.touch(page);
  const entry = readSmaps(process.pid).find(({ start }) => start === memory.address);
  expect(entry?.fields).toMatchObject({ Size: 16 * 4096, Rss: 3 * 4096, Swap: 0, KernelPageSize: 4096 });
  expect(entry?.vmFlags).toContain("sh");
  expect(readSmapsRollup(process.pid).Rss).toBeGreaterThanOrEqual(3 * 4096);
});
