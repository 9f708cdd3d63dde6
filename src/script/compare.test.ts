import { expect, test } from "vitest";
import { ToyMachine, type ToyOptions } from "../../test/support/toy-machine.ts";
import { compare } from "./compare.ts";
import type { Machine } from "./machine.ts";
import { parseProgram } from "./parse.ts";

const OPS = parseProgram(
  [
    "obj o0 2",
    "map A v0 o0 0 2 rw",
    "write A v0 0 2",
    "read A v0 0 1",
    "fork A B",
    "madvise A v0 0 1 PAGEOUT",
    "read B v0 0 2",
  ].join("\n"),
  { file: "a.ops" },
).steps.map(({ op }) => op);

/** All machines that were made, which must be closed in the end. */
function pairOf(reference: ToyOptions, subject: ToyOptions | (() => Machine)) {
  const machines: ToyMachine[] = [];
  const make = (options: ToyOptions) => {
    machines.push(new ToyMachine(options));
    return machines[machines.length - 1];
  };
  const pair = {
    header: { kernel: "toy", config: { reclaim_rounds: 3 } },
    reference: () => make(reference),
    subject: () => (typeof subject === "function" ? subject() : make(subject)),
  };
  return { pair, machines };
}

test("machines that agree: the trace is the reference's", () => {
  const { pair, machines } = pairOf({}, {});
  const { trace, divergence } = compare("t", OPS, pair);
  expect(divergence).toBeUndefined();
  expect(trace).toMatchObject({ id: "t", kernel: "toy", config: { reclaim_rounds: 3 } });
  expect(trace.steps.map(({ op }) => op)).toEqual(OPS);
  expect(machines.map(({ closed }) => closed)).toEqual([true, true]);
});

test("a divergence comes with the shortest program, run anew on both", () => {
  const { pair, machines } = pairOf({}, { forgetsMarkers: "after fork" });
  expect(compare("t", OPS, pair).divergence).toEqual({
    trace: "t",
    step: 6,
    op: "madvise A v0 0 1 PAGEOUT",
    field: "procs.A.v0[0]",
    expected: "80:30.2",
    shown: "0",
    shortest: ["obj o0 2", "map A v0 o0 0 2 rw", "write A v0 0 2", "fork A B", "madvise A v0 0 1 PAGEOUT"],
    unrepeatable: false,
  });
  expect(machines.length).toBeGreaterThan(4);
  expect(machines.every(({ closed }) => closed)).toBe(true);
});

test("an op whose names stand for nothing, since an earlier one failed, is left out", () => {
  const { pair } = pairOf({ refuses: { kind: "map", errno: "ENOMEM" } }, {});
  const { trace, divergence } = compare("t", OPS, pair);
  expect(trace.steps.map(({ op }) => op.kind)).toEqual(["obj", "map", "fork"]);
  expect(divergence).toMatchObject({ step: 2, field: "errno", expected: "ENOMEM", shown: "" });
});

test("a divergence that another run does not show is told, whole", () => {
  let made = 0;
  const { pair } = pairOf({}, () => new ToyMachine(made++ === 0 ? { forgetsMarkers: "always" } : {}));
  const { divergence } = compare("t", OPS, pair);
  expect(divergence).toMatchObject({ step: 6, unrepeatable: true });
  expect(divergence?.shortest).toHaveLength(6);
});

test("a machine that breaks is closed", () => {
  const { pair, machines } = pairOf({ breaksAt: "fork" }, {});
  expect(() => compare("t", OPS, pair)).toThrow("the toy broke at fork");
  expect(machines.map(({ closed }) => closed)).toEqual([true]);
});
