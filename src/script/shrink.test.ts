import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ToyMachine, type ToyOptions } from "../../test/support/toy-machine.ts";
import { parseProgram } from "./parse.ts";
import { replay } from "./replay.ts";
import { runProgram } from "./run.ts";
import { shrink } from "./shrink.ts";
import type { Trace } from "./trace.ts";

function record(lines: readonly string[]): Trace {
  const program = parseProgram(lines.join("\n"), { file: "a.ops" });
  return { id: "t-1", kernel: "toy", config: {}, steps: [...runProgram(program, new ToyMachine())] };
}

function shortest(trace: Trace, options: ToyOptions): readonly string[] {
  const divergence = replay(trace, new ToyMachine(options));
  if (!divergence) throw new Error("no divergence");
  return shrink(trace, divergence, () => new ToyMachine(options));
}

describe("a diverging program", () => {
  test("loses every op that the divergence doesn't need", () => {
    const trace = record([
      "obj o1 3",
      "obj o0 2",
      "map A v0 o1 0 3 rw",
      "map A v1 o0 0 2 rw",
      "write A v0 0 3",
      "write A v1 0 2",
      "madvise A v1 0 1 PAGEOUT",
      "read A v1 0 2",
      "fork A B",
      "read B v0 0 1",
      "madvise A v1 1 1 PAGEOUT",
      "write A v1 1 1",
    ]);
    expect(shortest(trace, { forgetsMarkers: "after fork" })).toEqual([
      "obj o0 2",
      "map A v1 o0 0 2 rw",
      "write A v1 0 2",
      "fork A B",
      "madvise A v1 1 1 PAGEOUT",
    ]);
  });

  test("keeps what brings the page into its recorded state, though the value shown needs none of it", () => {
    const trace = record([
      "obj o0 1",
      "map A v0 o0 0 1 rw",
      "write A v0 0 1",
      "fork A B",
      "madvise A v0 0 1 PAGEOUT",
    ]);
    // An untouched page shows "0" after a PAGEOUT as well: that would be no divergence.
    expect(shortest(trace, { forgetsMarkers: "after fork" })).toHaveLength(5);
  });

  test("loses ops that only go together", () => {
    const trace = record([
      "obj o0 1",
      "map A v0 o0 0 1 rw",
      "write A v0 0 1",
      "fork A B",
      "fork A C",
      "exit C",
      "madvise A v0 0 1 PAGEOUT",
    ]);
    expect(shortest(trace, { forgetsMarkers: "after fork" })).toEqual([
      "obj o0 1",
      "map A v0 o0 0 1 rw",
      "write A v0 0 1",
      "fork A B",
      "madvise A v0 0 1 PAGEOUT",
    ]);
  });

  test("keeps the pages that a partial reclaim took", () => {
    const whole = [
      "obj o1 1",
      "obj o0 2",
      "map A v0 o0 0 2 rw",
      "map A v1 o1 0 1 rw",
      "write A v0 0 2",
      "fork A B",
      "reclaim",
    ];
    const trace = { ...record(whole), config: { reclaim_rounds: 0 } };
    expect(shortest(trace, { forgetsMarkers: "after fork" })).toEqual([
      "obj o0 2",
      "map A v0 o0 0 2 rw",
      "write A v0 0 2",
      "fork A B",
      "reclaim",
    ]);
  });

  test("keeps the step numbers: what it loads is what the whole program stored", () => {
    const trace = record(["obj o1 1", "obj o0 1", "map A v0 o0 0 1 rw", "write A v0 0 1", "read A v0 0 1"]);
    const wrong = { ...trace, steps: trace.steps.map((s, i) => (i === 4 ? { ...s, values: [9] } : s)) };
    expect(shortest(wrong, {})).toEqual([
      "obj o0 1",
      "map A v0 o0 0 1 rw",
      "write A v0 0 1",
      "read A v0 0 1",
    ]);
  });

  test("is found for an op that fails the machine, too", () => {
    const trace = record(["obj o0 1", "map A v0 o0 0 1 rw", "write A v0 0 1", "fork A B"]);
    expect(shortest(trace, { breaksAt: "fork" })).toEqual(["fork A B"]);
  });

  test("has no machine left open", () => {
    const trace = record([
      "obj o0 1",
      "map A v0 o0 0 1 rw",
      "write A v0 0 1",
      "fork A B",
      "madvise A v0 0 1 PAGEOUT",
    ]);
    const machines: ToyMachine[] = [];
    shrink(trace, { step: 5, field: "procs.A.v0[0]", shown: "0" }, () => {
      const machine = new ToyMachine({ forgetsMarkers: "after fork" });
      machines.push(machine);
      return machine;
    });
    expect(machines.length).toBeGreaterThan(1);
    expect(machines.every(({ closed }) => closed)).toBe(true);
  });

  test("always ends with the diverging op, is a program, and is no longer than it was", () => {
    const op = fc.constantFrom(
      "write A v0 0 2",
      "read A v0 1 2",
      "madvise A v0 0 2 PAGEOUT",
      "madvise A v0 1 2 DONTNEED",
      "write A v1 0 2",
      "madvise A v1 0 2 PAGEOUT",
      "reclaim",
    );
    fc.assert(
      fc.property(
        fc.array(op, { maxLength: 8 }),
        fc.array(op, { minLength: 1, maxLength: 8 }),
        (first, then) => {
          const setup = ["obj o0 3", "map A v0 o0 0 3 rw", "map A v1 o0 1 2 rw"];
          const trace = record([...setup, ...first, "fork A B", ...then]);
          const divergence = replay(trace, new ToyMachine({ forgetsMarkers: "after fork" }));
          if (!divergence) return;
          const lines = shortest(trace, { forgetsMarkers: "after fork" });
          expect(lines[lines.length - 1]).toBe(divergence.op);
          expect(lines.length).toBeLessThanOrEqual(divergence.step);
          expect(replay(record(lines), new ToyMachine({ forgetsMarkers: "after fork" }))).toBeDefined();
        },
      ),
    );
  });
});
