import { release } from "node:os";
import process from "node:process";
import { describe, expect, test } from "vitest";
import { capabilities, missing, tryProbe } from "./capabilities.ts";
import { readSwaps } from "./procfs.ts";
import { hasCapability, readStatus } from "./status.ts";

describe("this machine", () => {
  const { kernel, findings } = capabilities();
  const found = (name: string) => findings.find((finding) => finding.name === name);

  test("is told by its kernel's release, and every finding is complete", () => {
    expect(kernel).toBe(release());
    expect(new Set(findings.map(({ name }) => name)).size).toBe(findings.length);
    for (const { reason, cost } of findings) {
      expect(reason).not.toBe("");
      expect(cost).not.toBe("");
    }
  });

  test("has a pagemap, read by this very test; swap as /proc/swaps says", () => {
    expect(found("pagemap")?.available).toBe(true);
    expect(found("swap")?.available).toBe(readSwaps().length > 0);
  });

  test("privileges are those that status shows", () => {
    const status = readStatus(process.pid);
    expect(found("other users' processes")?.available).toBe(hasCapability(status, "SYS_PTRACE"));
    expect(found("other users' objects")?.available).toBe(hasCapability(status, "FOWNER"));
  });
});

test("a probe that finds nothing tells why; one that breaks is no finding", () => {
  const probe = { name: "x", cost: "c", remedy: "r" };
  expect(tryProbe({ ...probe, look: () => "seen" })).toEqual({ ...probe, available: true, reason: "seen" });
  const lack = () => {
    throw missing("not there");
  };
  expect(tryProbe({ ...probe, look: lack })).toEqual({ ...probe, available: false, reason: "not there" });
  const broken = () => {
    throw new TypeError("a bug");
  };
  expect(() => tryProbe({ ...probe, look: broken })).toThrow("a bug");
});
