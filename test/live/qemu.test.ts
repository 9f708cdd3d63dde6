/** A QEMU guest that nobody prepared, its memory a memfd: which of it is swapped out. */
import { expect, test } from "vitest";
import { ZramSwap } from "../../src/linux/zram.ts";
import { expectAgreement, expectCommandAgrees, whenAtRest } from "../support/agreement.ts";
import { LIVE_TIMEOUT_MS, LOCK_WAIT_MS, needs, needsMemoryCgroup, needsZram } from "../support/live.ts";
import { QemuGuest } from "../support/qemu.ts";

const MIB = 1 << 20;
const FILLED_PAGES = 200 * 256;

test("a guest's memory in a memfd", { timeout: LIVE_TIMEOUT_MS }, async (context) => {
  needsZram(context);
  needsMemoryCgroup(context);
  needs(context, QemuGuest.obstacle());
  using _zram = await ZramSwap.create({ sizeBytes: 512 * MIB, waitMs: LOCK_WAIT_MS });
  using guest = await QemuGuest.start({ sizeBytes: 256 * MIB, filledPages: FILLED_PAGES });
  const { cgroup, pid } = guest.confined;
  cgroup.setLimit(128 * MIB);
  cgroup.setLimit(undefined);
  // Some of it comes back: what the guest wrote.
  const sample = FILLED_PAGES / 8;
  expect(guest.wrongPages(0, sample)).toBe(0);

  guest.confined.pause();
  const scans = whenAtRest(() => {
    const agreed = expectAgreement(pid);
    expectCommandAgrees(pid, agreed);
    return agreed;
  });
  const ram = scans.find(({ mapping }) => mapping.name.includes("memory-backend-memfd"));
  expect(ram?.states.length).toBe(256 * 256);
  expect(ram?.counts.swapped).toBeGreaterThan(5000);
  // What neither the guest nor its firmware touched was never allocated.
  expect(ram?.counts.hole).toBeGreaterThan(256 * 256 - FILLED_PAGES - 1024);
  guest.confined.resume();
  expect(guest.wrongPages(0, FILLED_PAGES)).toBe(0);
});
