import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { lacking } from "../../test/support/requirement.ts";
import { Vmstat, Work } from "./vmstat.ts";

/** Counters that Linux has for a memory cgroup only: in memory.stat, and `oom` in memory.events. */
const OF_CGROUP = ["pgscan", "pgsteal", "oom"];

function procVmstat(): string[] | undefined {
  try {
    return readFileSync("/proc/vmstat", "utf8")
      .trim()
      .split("\n")
      .map((line) => line.split(" ")[0]);
  } catch {
    return undefined;
  }
}

describe("counters", () => {
  test("begin at 0", () => {
    for (const counters of [new Vmstat(), new Work()])
      expect(new Set(Object.values(counters))).toEqual(new Set([0]));
  });

  test("have names that this system's /proc/vmstat has, or a cgroup's files", (context) => {
    const names = procVmstat();
    if (names === undefined || !names.includes("pswpin")) lacking(context, "needs /proc/vmstat, with swap");
    const unknown = Object.keys(new Vmstat()).filter((name) => !names.includes(name));
    expect(unknown).toEqual(OF_CGROUP);
  });
});
