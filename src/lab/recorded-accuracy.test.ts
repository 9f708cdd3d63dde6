import { expect, test } from "vitest";
import { judgeRecordedTraces } from "./recorded-accuracy.ts";
import { SCENARIOS } from "./scenarios.ts";

const recorded = judgeRecordedTraces();

test("all traces of the kernel with the RFC are judged", () => {
  expect(recorded).toMatchObject({ traces: 2290, steps: 61897 });
});

test("every flaw that a scenario shows, the real kernel showed", () => {
  const seen = new Set<string>(recorded.causes.map(({ cause }) => cause));
  for (const { id, cause } of SCENARIOS)
    if (cause !== undefined) expect([id, seen.has(cause)]).toEqual([id, true]);
});

test("every error there has a cause with a name, and none is one that the RFC can't have", () => {
  const names = recorded.causes.map(({ cause }) => cause);
  expect(names.filter((name) => name.startsWith("other"))).toEqual([]);
  for (const name of ["no mechanism", "no page table", "not armed"]) expect(names).not.toContain(name);
});
