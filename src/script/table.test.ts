import { expect, test } from "vitest";
import { ToyMachine } from "../../test/support/toy-machine.ts";
import { INITIAL_OBSERVATION } from "./machine.ts";
import { parseProgram } from "./parse.ts";
import { runProgram } from "./run.ts";
import { stepLines } from "./table.ts";
import type { TraceStep } from "./trace.ts";

const RFC = { type: 30, UFFD_WP: 1, PAGEOUT: 2, POISONED: 0, GUARD: 0 };

function table(...program: string[]): string {
  let before: TraceStep | typeof INITIAL_OBSERVATION = INITIAL_OBSERVATION;
  const lines: string[] = [];
  for (const step of runProgram(parseProgram(program.join("\n"), { file: "a.ops" }), new ToyMachine())) {
    const number = lines.filter((line) => /^ *\d/.test(line)).length + 1;
    lines.push(...stepLines({ step, number, before }, RFC).map(({ text }) => text));
    before = step;
  }
  return lines.join("\n");
}

test("the table tells the op, its outcome, and what changed", () => {
  expect(
    table(
      "obj o0 4",
      "map A v0 o0 0 4 rw",
      "write A v0 0 3",
      "madvise A v0 1 2 PAGEOUT",
      "read A v0 2 1",
      "read A v0 3 2",
    ),
  ).toBe(`  1  obj o0 4
     o0            HHHH
  2  map A v0 o0 0 4 rw
     A v0          ....
       v0[0-3]: none
  3  write A v0 0 3
     A v0          PPP.   was ....
       v0[0-2]: none -> present|file
     A v0 incore   1110   was 0000
     o0            RRRH   was HHHH
  4  madvise A v0 1 2 PAGEOUT
     A v0          PMM.   was PPP.
       v0[1-2]: present|file -> swap (marker PAGEOUT)
     A v0 incore   1000   was 1110
     o0            RSSH   was RRRH
  5  read A v0 2 1  = 3
     A v0          PMP.   was PMM.
       v0[2]: swap (marker PAGEOUT) -> present|file
     A v0 incore   1010   was 1000
     o0            RSRH   was RSSH
  6  read A v0 3 2  = SIGSEGV
     A v0          PMPP   was PMP.
       v0[3]: none -> present|file
     A v0 incore   1011   was 1010
     o0            RSRR   was RSRH`);
});

test("processes and mappings come and go", () => {
  const text = table("obj o0 1", "map A v0 o0 0 1 rw", "fork A B", "mremap A v0 v1", "exit B");
  expect(text).toContain(`  3  fork A B
     B: a new process
     B v0          .
       v0[0]: none
  4  mremap A v0 v1
     A v1          .
       v1[0]: none
     A v0: gone
  5  exit B
     B: ended`);
});

test("what is too long for a line is told in runs", () => {
  expect(table("obj o0 100", "map A v0 o0 0 100 rw", "write A v0 10 1")).toContain(
    "     A v0          .*10 P*1 .*89   was .*100\n",
  );
});
