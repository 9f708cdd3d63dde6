import { describe, expect, test } from "vitest";
import type { Accuracy } from "./accuracy.ts";
import { MODEL_MECHANISMS, measureModelAccuracy } from "./accuracy-mechanisms.ts";
import { WORKLOAD_DEFAULTS } from "./workload.ts";
import { WORKLOADS, workloadNamed } from "./workloads.ts";

const accuracyOf = (workload: string, mechanism: string, options = {}): Accuracy => {
  const found = MODEL_MECHANISMS.find(({ name }) => name === mechanism);
  if (found === undefined) throw new Error(`no mechanism ${mechanism}`);
  return measureModelAccuracy(found, workloadNamed(workload), { ...WORKLOAD_DEFAULTS, ...options });
};
const causesOf = (accuracy: Accuracy): string[] => accuracy.causes.map(({ cause }) => cause);

describe("the RFC's known flaws show up by name", () => {
  test("a sharer whose PTE was zapped", () => {
    expect(causesOf(accuracyOf("database", "marker"))).toContain("PTE zapped before page-out");
    expect(causesOf(accuracyOf("database", "marker", { zapRate: 0 }))).not.toContain(
      "PTE zapped before page-out",
    );
  });

  test("fork", () => {
    expect(causesOf(accuracyOf("fork-server", "marker"))[0]).toBe("fork");
    expect(causesOf(accuracyOf("fork-server", "marker", { processes: 1 }))).not.toContain("fork");
  });
});

test("and those that it does not name: other processes, the descriptor, swapoff", () => {
  expect(causesOf(accuracyOf("migration", "marker"))).toContain("another process' fault");
  expect(causesOf(accuracyOf("snapshot", "marker"))).toContain("descriptor");
  expect(causesOf(accuracyOf("pressure", "marker"))).toContain("swapoff");
});

test.each(WORKLOADS.map(({ name }) => name))("%s: every error has a cause with a name", (name) => {
  for (const { name: mechanism } of MODEL_MECHANISMS)
    expect(causesOf(accuracyOf(name, mechanism)).filter((cause) => cause.startsWith("other"))).toEqual([]);
});

test.each(WORKLOADS.map(({ name }) => name))("%s: the look-up errs only for want of a page table", (name) => {
  const accuracy = accuracyOf(name, "look-up");
  expect(accuracy.falsePositives).toBe(0);
  expect(causesOf(accuracy).filter((cause) => cause !== "no page table")).toEqual([]);
});

test.each(WORKLOADS.map(({ name }) => name))("%s: without a mechanism, no page in swap is seen", (name) => {
  const { swapped, flagged, falseNegatives } = accuracyOf(name, "none");
  expect(falseNegatives).toBe(swapped);
  expect(flagged).toBe(0);
});

test("fault-around over markers takes stale ones away", () => {
  const plain = accuracyOf("snapshot", "marker");
  expect(accuracyOf("snapshot", "filled marker").falsePositives).toBeLessThan(plain.falsePositives);
});

test("a stand-in that is seldom armed misses what was written", () => {
  const standIn = MODEL_MECHANISMS.find(({ name }) => name === "stand-in");
  if (standIn === undefined) throw new Error("no stand-in");
  const rarely = measureModelAccuracy(standIn, workloadNamed("vm"), WORKLOAD_DEFAULTS, { rearmEvery: 50 });
  expect(causesOf(rarely)).toContain("not armed");
  expect(causesOf(accuracyOf("vm", "stand-in"))).not.toContain("not armed");
});
