/** What live tests share: probes of what they need of the machine. */
import process from "node:process";
import type { TestContext } from "vitest";
import { MemoryCgroup } from "../../src/linux/cgroup.ts";
import { MachineLock } from "../../src/linux/machine-lock.ts";
import { SwapFile } from "../../src/linux/swap-file.ts";
import { ZramSwap } from "../../src/linux/zram.ts";
import { lacking } from "./requirement.ts";

/** Of a test that waits for the machine lock, which others hold for as long as they need swap; and of the wait. */
export const LIVE_TIMEOUT_MS = 900_000;
export const LOCK_WAIT_MS = 840_000;

/** Skips for what is missing, if anything is. */
export function needs(context: TestContext, what: string | undefined): void {
  if (what !== undefined) lacking(context, `needs ${what}`);
}

export function needsRoot(context: TestContext): void {
  needs(context, process.geteuid?.() === 0 ? undefined : "root");
}

export function needsZram(context: TestContext): void {
  needs(context, ZramSwap.obstacle());
}

export function needsSwapFile(context: TestContext): void {
  needs(context, SwapFile.obstacle());
}

export function needsMemoryCgroup(context: TestContext): void {
  needsRoot(context);
  needs(context, MemoryCgroup.obstacle());
}

/** Waits for whoever has swap. A command waits too, but less long than the tests of all files may take. */
export async function untilSwapIsFree(): Promise<void> {
  using _lock = await MachineLock.acquire({ waitMs: LIVE_TIMEOUT_MS });
}
