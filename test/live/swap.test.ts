/** Swap of our own: that it swaps, and that nothing of it is left however its owner ends. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { PAGE_SIZE } from "../../src/abi/mman.ts";
import { MemoryCgroup } from "../../src/linux/cgroup.ts";
import { MachineLock } from "../../src/linux/machine-lock.ts";
import { SharedMemory } from "../../src/linux/shared-memory.ts";
import { SwapFile } from "../../src/linux/swap-file.ts";
import type { SwapSpace } from "../../src/linux/swap-space.ts";
import { ZramSwap } from "../../src/linux/zram.ts";
import {
  LIVE_TIMEOUT_MS,
  LOCK_WAIT_MS,
  needsMemoryCgroup,
  needsSwapFile,
  needsZram,
} from "../support/live.ts";

/** The library as it is published: another process can't load the sources. */
const BUILT = fileURLToPath(new URL("../../dist/linux/", import.meta.url));
const SIZE_BYTES = 16 << 20;
const WAIT = { waitMs: LOCK_WAIT_MS };

function isOn({ path }: { path: string }): boolean {
  return readFileSync("/proc/swaps", "utf8").includes(`${path} `);
}

/** Pages go out to it, come back by swapoff and by faults, and hold what was written. */
function swapsThrough(space: SwapSpace): void {
  using memory = new SharedMemory(64);
  for (let i = 0; i < memory.words.length; i++) memory.words[i] = Math.imul(i, 0x9e3779b1);
  const holdsContents = () => memory.words.every((word, i) => word === Math.imul(i, 0x9e3779b1) >>> 0);

  memory.pageOut();
  expect(memory.evictedPages()).toBe(64);
  expect(holdsContents()).toBe(true);
  memory.pageOut();
  space.swapoff();
  expect(isOn(space)).toBe(false);
  expect(memory.evictedPages()).toBe(0);
  expect(memory.residentPages()).toBe(64);
  expect(holdsContents()).toBe(true);
  space.swapon();
  expect(isOn(space)).toBe(true);
  memory.pageOut();
  expect(holdsContents()).toBe(true);
}

test("pages are swapped out to zram and back", { timeout: LIVE_TIMEOUT_MS }, async (context) => {
  needsZram(context);
  const zram = await ZramSwap.create({ sizeBytes: SIZE_BYTES, ...WAIT });
  try {
    swapsThrough(zram);
    using memory = new SharedMemory(64);
    for (let i = 0; i < memory.words.length; i++) memory.words[i] = i;
    memory.pageOut();
    expect(memory.residentPages()).toBe(0);
    expect(zram.usage().storedBytes).toBeGreaterThanOrEqual(64 * PAGE_SIZE);
  } finally {
    zram[Symbol.dispose]();
  }
  expect(isOn(zram)).toBe(false);
  expect(existsSync(zram.path)).toBe(false);
});

test("pages are swapped out to a file and back", { timeout: LIVE_TIMEOUT_MS }, async (context) => {
  needsSwapFile(context);
  const file = await SwapFile.create({ sizeBytes: SIZE_BYTES, ...WAIT });
  try {
    swapsThrough(file);
  } finally {
    file[Symbol.dispose]();
  }
  expect(isOn(file)).toBe(false);
  expect(existsSync(file.path)).toBe(false);
});

test("a swap file has the path that is asked for, on a disk only", {
  timeout: LIVE_TIMEOUT_MS,
}, async (context) => {
  needsSwapFile(context);
  const folder = mkdtempSync(join(process.cwd(), "node_modules", ".ptemark-test-"));
  const path = join(folder, "swapfile");
  try {
    {
      using file = await SwapFile.create({ sizeBytes: SIZE_BYTES, path, ...WAIT });
      expect(file.path).toBe(path);
      expect(isOn(file)).toBe(true);
      await expect(MachineLock.acquire({ waitMs: 0 })).rejects.toThrow(`process ${process.pid} to let it go`);
    }
    expect(existsSync(path)).toBe(false);
    const inMemory = SwapFile.create({ sizeBytes: SIZE_BYTES, path: "/dev/shm/ptemark-test-swap", ...WAIT });
    await expect(inMemory).rejects.toThrow("a folder on ext4");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("an algorithm that the kernel lacks is refused, with those it has, and nothing is left", {
  timeout: LIVE_TIMEOUT_MS,
}, async (context) => {
  needsZram(context);
  await expect(ZramSwap.create({ sizeBytes: SIZE_BYTES, algorithm: "none", ...WAIT })).rejects.toThrow(
    /comp_algorithm: EINVAL: an algorithm of this kernel: .*\w/,
  );
  using _free = await MachineLock.acquire(WAIT);
});

test("reclaim of a cgroup pages out what is charged to it, mapped or not", {
  timeout: LIVE_TIMEOUT_MS,
}, async (context) => {
  needsZram(context);
  needsMemoryCgroup(context);
  const mebibytes = 8;
  using zram = await ZramSwap.create({ sizeBytes: SIZE_BYTES, ...WAIT });
  using cgroup = MemoryCgroup.create("ptemark-test");
  const folder = mkdtempSync("/dev/shm/ptemark-test-");
  try {
    const script = `read go; exec dd if=/dev/urandom of=${folder}/data bs=1M count=${mebibytes} status=none`;
    const child = spawn("/bin/sh", ["-c", script], { stdio: ["pipe", "inherit", "inherit"] });
    cgroup.add(child.pid ?? 0);
    child.stdin.end("go\n");
    expect(await once(child, "exit")).toEqual([0, null]);

    const charged = mebibytes << 20;
    expect(cgroup.usageBytes()).toBeGreaterThanOrEqual(charged);
    expect(cgroup.reclaimAll()).toBeLessThan(charged / 2);
    expect(zram.usage().storedBytes).toBeGreaterThanOrEqual(charged / 2);
    expect(statSync(`${folder}/data`).size).toBe(charged);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** Sets up all there is to undo, says what, and waits to be ended. */
const HOLDER = `
  import { MemoryCgroup } from "./cgroup.js";
  import { ZramSwap } from "./zram.js";
  const zram = await ZramSwap.create(${JSON.stringify({ sizeBytes: SIZE_BYTES, ...WAIT })});
  const cgroup = MemoryCgroup.create("ptemark-test");
  cgroup.add(process.pid);
  console.log(JSON.stringify({ zram: zram.path, cgroup: cgroup.path }));
  setInterval(() => {}, 1000);
`;

test.for(["SIGKILL", "SIGTERM"] as const)(
  "%s of the owner leaves nothing behind",
  {
    timeout: LIVE_TIMEOUT_MS,
  },
  async (signal, context) => {
    needsZram(context);
    needsMemoryCgroup(context);
    const child = spawn(process.execPath, ["--input-type=module", "-e", HOLDER], {
      cwd: BUILT,
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      const [line] = await once(createInterface({ input: child.stdout }), "line");
      const owned = JSON.parse(line) as { zram: string; cgroup: string };
      expect(isOn({ path: owned.zram })).toBe(true);
      expect(existsSync(owned.cgroup)).toBe(true);

      child.kill(signal);
      expect(await once(child, "exit")).toEqual([null, signal]);
      // The guard of the device holds the lock until it is gone.
      using _lock = await MachineLock.acquire(WAIT);
      expect(isOn({ path: owned.zram })).toBe(false);
      expect(existsSync(owned.zram)).toBe(false);
      await expect.poll(() => existsSync(owned.cgroup), { timeout: 5000 }).toBe(false);
    } finally {
      child.kill("SIGKILL");
    }
  },
);
