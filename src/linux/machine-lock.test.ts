import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Guard } from "./guard.ts";
import { MachineLock } from "./machine-lock.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ptemark-"));
  path = join(folder, "lock");
});
afterEach(() => rmSync(folder, { recursive: true }));

test("one holder at a time; who waits too long is told who it is", async () => {
  using _lock = await MachineLock.acquire({ path });
  await expect(MachineLock.acquire({ path, waitMs: 30 })).rejects.toThrow(
    `lock ${path}: process ${process.pid} to let it go`,
  );
});

test("the next one gets it when it is let go", async () => {
  const first = await MachineLock.acquire({ path });
  const waiting = MachineLock.acquire({ path });
  let got = false;
  void waiting.then(() => {
    got = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 60));
  expect(got).toBe(false);
  first[Symbol.dispose]();
  (await waiting)[Symbol.dispose]();
});

test("a guard holds on to it until all is undone", async () => {
  const lock = await MachineLock.acquire({ path });
  const guard = Guard.start(lock.fd);
  lock[Symbol.dispose]();
  await expect(MachineLock.acquire({ path, waitMs: 30 })).rejects.toThrow("let it go");
  guard[Symbol.dispose]();
  (await MachineLock.acquire({ path }))[Symbol.dispose]();
});
