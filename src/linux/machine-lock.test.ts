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
  using _lock = await MachineLock.acquire({ lockPath: path });
  await expect(MachineLock.acquire({ lockPath: path, waitMs: 30 })).rejects.toThrow(
    `lock ${path}: process ${process.pid} to let it go`,
  );
});

test("the next one gets it when it is let go", async () => {
  const first = await MachineLock.acquire({ lockPath: path });
  const waiting = MachineLock.acquire({ lockPath: path });
  let got = false;
  void waiting.then(() => {
    got = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 60));
  expect(got).toBe(false);
  first[Symbol.dispose]();
  (await waiting)[Symbol.dispose]();
});

test("one that comes back at once does not overtake those that wait", async () => {
  const order: string[] = [];
  const first = await MachineLock.acquire({ lockPath: path });
  const waiting = MachineLock.acquire({ lockPath: path });
  // It has its turn before the first one is back.
  await new Promise((resolve) => setTimeout(resolve, 60));
  first[Symbol.dispose]();
  const back = MachineLock.acquire({ lockPath: path });
  await Promise.all([
    waiting.then((lock) => {
      order.push("waited");
      lock[Symbol.dispose]();
    }),
    back.then((lock) => {
      order.push("came back");
      lock[Symbol.dispose]();
    }),
  ]);
  expect(order).toEqual(["waited", "came back"]);
});

test("a guard holds on to it until all is undone", async () => {
  const lock = await MachineLock.acquire({ lockPath: path });
  const guard = Guard.start(lock.fd);
  lock[Symbol.dispose]();
  await expect(MachineLock.acquire({ lockPath: path, waitMs: 30 })).rejects.toThrow("let it go");
  guard[Symbol.dispose]();
  (await MachineLock.acquire({ lockPath: path }))[Symbol.dispose]();
});
