import { describe, expect, test } from "vitest";
import { ToyMachine, type ToyOptions } from "../../test/support/toy-machine.ts";
import type { Machine, Observation } from "./machine.ts";
import { parseProgram } from "./parse.ts";
import { leftMemory, recordedReclaim, replay } from "./replay.ts";
import { runProgram } from "./run.ts";
import type { Trace, TraceStep } from "./trace.ts";

function record(lines: readonly string[], options: ToyOptions = {}): Trace {
  const program = parseProgram(lines.join("\n"), { file: "a.ops" });
  return { id: "t-1", kernel: "toy", config: {}, steps: [...runProgram(program, new ToyMachine(options))] };
}

/** The trace with something else recorded at one step (from 1). */
function tamper(trace: Trace, step: number, change: Partial<TraceStep>): Trace {
  return { ...trace, steps: trace.steps.map((old, i) => (i === step - 1 ? { ...old, ...change } : old)) };
}

const PROGRAM = [
  "obj o0 2",
  "map A v0 o0 0 2 rw",
  "write A v0 0 2",
  "fork A B",
  "madvise A v0 0 1 PAGEOUT",
  "read B v0 0 2",
];

describe("a replay", () => {
  const trace = record(PROGRAM);

  test("agrees with a trace that the same machine made", () => {
    expect(replay(trace, new ToyMachine())).toBeUndefined();
  });

  test("tells the first step that differs, with op, field, expected and shown", () => {
    expect(replay(trace, new ToyMachine({ forgetsMarkers: "after fork" }))).toEqual({
      trace: "t-1",
      step: 5,
      op: "madvise A v0 0 1 PAGEOUT",
      field: "procs.A.v0[0]",
      expected: "80:30.2",
      shown: "0",
    });
  });

  test.each<[Partial<TraceStep>, object]>([
    [{ errno: "SIGBUS" }, { field: "errno", expected: "SIGBUS", shown: "" }],
    [{ values: [3, 4] }, { field: "values[1]", expected: "4", shown: "3" }],
    [{ values: [3] }, { field: "values[1]", expected: "absent", shown: "3" }],
    [{ procs: { A: trace.steps[5].procs.A } }, { field: "procs.B", expected: "absent", shown: "present" }],
    [
      { procs: { ...trace.steps[5].procs, C: {} } },
      { field: "procs.C", expected: "present", shown: "absent" },
    ],
    [
      { procs: { ...trace.steps[5].procs, B: {} } },
      { field: "procs.B.v0", expected: "absent", shown: "present" },
    ],
    [
      { procs: { ...trace.steps[5].procs, B: { v0: ["140", "141"] } } },
      { field: "procs.B.v0[1]", expected: "141", shown: "140" },
    ],
    [
      { mincore: { ...trace.steps[5].mincore, B: { v0: "1" } } },
      { field: "mincore.B.v0[1]", expected: "absent", shown: "1" },
    ],
    [{ objs: { o0: "RS" } }, { field: "objs.o0[1]", expected: "S", shown: "R" }],
    [{ objs: { o0: "RR", o1: "" } }, { field: "objs.o1", expected: "present", shown: "absent" }],
  ])("finds %j", (change, difference) => {
    expect(replay(tamper(trace, 6, change), new ToyMachine())).toMatchObject({ step: 6, ...difference });
  });

  test("values are the same whether they are numbers or bigints", () => {
    const values = trace.steps[5].values.map(BigInt);
    expect(replay(tamper(trace, 6, { values }), new ToyMachine())).toBeUndefined();
  });

  test("takes an error of the machine for a divergence", () => {
    expect(replay(trace, new ToyMachine({ breaksAt: "fork" }))).toMatchObject({
      step: 4,
      field: "exception",
      expected: "none",
      shown: "Error: the toy broke at fork",
    });
  });
});

describe("the input of a partial reclaim", () => {
  const before: Observation = {
    procs: { A: { v0: ["143", "143", "1"], v1: ["101", "101", "81", "81", "141", "1", "-", "84:30.1"] } },
    mincore: { A: { v0: "111", v1: "111010-1" } },
    objs: { o0: "RRRSH" },
  };
  const after: Observation = {
    procs: {
      A: { v0: ["81:30.2", "143", "1"], v1: ["81", "101", "81", "81", "81:30.2", "1", "-", "84:30.1"] },
    },
    mincore: { A: { v0: "010", v1: "010000-1" } },
    objs: { o0: "SRHSH" },
  };

  test("is what left memory: pages of objects, and private pages that were mapped or in the swap cache", () => {
    expect(leftMemory(before, after)).toEqual({
      objs: { o0: [0, 2] },
      mapped: [
        { proc: "A", mapping: "v1", page: 0 },
        { proc: "A", mapping: "v1", page: 2 },
      ],
    });
  });

  test("is empty when nothing left", () => {
    expect(leftMemory(before, before)).toEqual({ objs: {}, mapped: [] });
  });

  const trace = record([...PROGRAM, "reclaim"]);

  test("is given where the trace was recorded with one bare request, and only there", () => {
    const partial = { ...trace, config: { reclaim_rounds: 0 } };
    expect(recordedReclaim(partial, 6)).toEqual({ objs: { o0: [0, 1] }, mapped: [] });
    expect(recordedReclaim(partial, 5)).toBeUndefined();
    expect(recordedReclaim({ ...trace, config: { reclaim_rounds: 3 } }, 6)).toBeUndefined();
  });

  test("reaches the machine", () => {
    const inputs: unknown[] = [];
    const toy = new ToyMachine();
    const machine: Machine = {
      execute: (op, step, reclaimed) => {
        inputs.push(reclaimed);
        return toy.execute(op, step, reclaimed);
      },
      observe: () => toy.observe(),
      close: () => toy.close(),
    };
    const partial = tamper({ ...trace, config: { reclaim_rounds: 0 } }, 7, {
      objs: { o0: "RS" },
      procs: { A: { v0: ["0", "80:30.2"] }, B: { v0: ["140", "80:30.2"] } },
    });
    replay(partial, machine);
    expect(inputs.slice(5)).toEqual([undefined, { objs: { o0: [1] }, mapped: [] }]);
  });
});
