import { describe, expect, test } from "vitest";
import { createModelMachine } from "../script/index.ts";
import { MODEL_MECHANISMS } from "./accuracy-mechanisms.ts";
import { runScenario, SCENARIOS, scenarioOps } from "./scenarios.ts";

describe("on the RFC's kernel", () => {
  test.each(SCENARIOS.map((scenario) => [scenario.id, scenario] as const))("%s is as told", (_, scenario) => {
    const outcome = runScenario(scenario, createModelMachine({ profile: "rfc" }), { mechanism: "marker" });
    expect(outcome.isAsExpected).toBe(true);
    expect(outcome.wrongAtEnd).toBe(scenario.cause === undefined ? 0 : 4);
  });
});

test("each is the shortest: without its last op, its cause is not there", () => {
  for (const scenario of SCENARIOS.filter(
    ({ cause, id }) => cause !== undefined && id !== "page-out-again",
  )) {
    if (scenario.id === "fork-and-exit") continue; // the same cause as fork; the last op says who is left
    const shorter = { ...scenario, program: scenario.program.split("\n").slice(0, -1).join("\n") };
    const machine = createModelMachine({ profile: "rfc" });
    expect(runScenario(shorter, machine, { mechanism: "marker" }).isAsExpected, scenario.id).toBe(false);
  }
});

test("pages that a reader brought back are not paged out again: that is what the RFC was for", () => {
  const scenario = SCENARIOS.find(({ id }) => id === "page-out-again");
  if (scenario === undefined) throw new Error("no such scenario");
  const machine = createModelMachine({ profile: "rfc" });
  for (const [index, op] of scenarioOps(scenario).entries()) machine.execute(op, index + 1);
  expect(machine.observe().objs.o0).toBe("RRRR");
});

test("have ids of their own, and none goes wrong for every mechanism", () => {
  expect(new Set(SCENARIOS.map(({ id }) => id)).size).toBe(SCENARIOS.length);
  const lookUp = MODEL_MECHANISMS.find(({ name }) => name === "look-up");
  if (lookUp === undefined) throw new Error("no look-up");
  const { profile, config, mechanism } = lookUp;
  const wrong = SCENARIOS.map((scenario) => [
    scenario.id,
    runScenario(scenario, createModelMachine({ profile, config }), { mechanism }).wrongAtEnd,
  ]);
  // Those whose page table was never built.
  expect(wrong.filter(([, pages]) => pages !== 0).map(([id]) => id)).toEqual([
    "fork",
    "fork-and-exit",
    "mapped-after",
    "never-mapped",
  ]);
});
