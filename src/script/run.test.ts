import { expect, test } from "vitest";
import { ToyMachine } from "../../test/support/toy-machine.ts";
import { parseProgram } from "./parse.ts";
import { runProgram } from "./run.ts";
import { formatOp } from "./syntax.ts";

const program = (...lines: string[]) => parseProgram(lines.join("\n"), { file: "a.ops" });

test("a program runs op by op, and each step shows what it returned and what is there", () => {
  const steps = [
    ...runProgram(
      program("obj o0 2", "map A v0 o0 0 2 rw", "# pause", "write A v0 1 1", "read A v0 0 2"),
      new ToyMachine(),
    ),
  ];
  expect(steps.map(({ op, errno, values, objs }) => [formatOp(op), errno, values, objs.o0])).toEqual([
    ["obj o0 2", "", [], "HH"],
    ["map A v0 o0 0 2 rw", "", [], "HH"],
    ["write A v0 1 1", "", [], "HR"],
    ["read A v0 0 2", "", [0, 3], "RR"],
  ]);
  expect(steps[3]).toMatchObject({ procs: { A: { v0: ["140", "140"] } }, mincore: { A: { v0: "11" } } });
});

test("nothing runs before it is asked for", () => {
  const machine = new ToyMachine();
  const steps = runProgram(program("obj o0 1", "map A v0 o0 0 1 rw"), machine);
  steps.next();
  expect(machine.observe()).toMatchObject({ procs: { A: {} }, objs: { o0: "H" } });
});

test("an op on what an earlier op failed to make is an error at its line", () => {
  const machine = new ToyMachine({ refuses: { kind: "mremap", errno: "EFAULT" } });
  const moved = program("obj o0 1", "map A v0 o0 0 1 rw", "mremap A v0 v1", "", "read A v1 0 1");
  expect(() => [...runProgram(moved, machine)]).toThrow(
    "a.ops:5: there is no mapping v1 in process A here: creating it failed with EFAULT; process A has v0",
  );
  const stayed = program("obj o0 1", "map A v0 o0 0 1 rw", "mremap A v0 v1", "", "read A v0 0 1");
  expect(() => [...runProgram(stayed, new ToyMachine())]).toThrow(
    "a.ops:5: there is no mapping v0 in process A here: mremap renamed it v1; process A has v1",
  );
});
