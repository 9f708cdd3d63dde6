import { describe, expect, test } from "vitest";
import { parseProgram } from "./parse.ts";
import { formatOp } from "./syntax.ts";

const parse = (...lines: string[]) => parseProgram(lines.join("\n"), { file: "a.ops" });
const SETUP = ["obj o0 6", "map A v0 o0 2 4 rw"];

describe("a program", () => {
  test("is ops, comments and blank lines; each op knows its line", () => {
    const { file, steps } = parse(
      "# a comment",
      "",
      "obj o0 6",
      "\tmap A v0 o0 2 4 rw\r",
      "write A v0 0 4 # all",
    );
    expect(file).toBe("a.ops");
    expect(steps.map(({ op, line }) => [line, formatOp(op)])).toEqual([
      [3, "obj o0 6"],
      [4, "map A v0 o0 2 4 rw"],
      [5, "write A v0 0 4"],
    ]);
  });

  test("may be empty", () => {
    expect(parse("# nothing").steps).toEqual([]);
  });

  test.each([
    ["an access over the end of a mapping", "read A v0 2 5"],
    ["madvise over a gap", "unmap A v0 1 1", "madvise A v0 0 6 DONTNEED"],
    ["unmapping what follows a mapping", "unmap A v0 4 2"],
    ["reading and writing an object over its end", "readfd o0 6 3", "writefd o0 6 2", "punch o0 7 2"],
    ["mapping what an object no longer has", "truncate o0 0", "map A v1 o0 3 6 r"],
    ["empty ranges", "punch o0 0 0", "write A v0 0 0"],
    ["growing an object", "truncate o0 12", "punch o0 11 1"],
    ["a moved mapping by either name, until it is known whether it moved", "mremap A v0 v1", "read A v0 0 1"],
    ["the mappings of a child", "fork A B", "exit A", "mremap B v0 v1", "read B v1 0 1"],
    ["the same mapping name in two processes", "fork A B", "mapanon A v1 1 rw", "mapanon B v1 1 rw"],
    ["MADV_FREE", "madvise A v0 0 1 FREE"],
  ])("may hold %s", (_, ...lines) => {
    expect(() => parse(...SETUP, ...lines)).not.toThrow();
  });
});

describe("a wrong program says where, what, and the mend", () => {
  test.each([
    [["wirte A v0 0 1"], '3:1: unknown op "wirte"; did you mean "write P V I N"?'],
    [
      ["  write A v0 9 1"],
      '3:14: page 9 is out of range in "write A v0 9 1"; v0 has pages 0 to 3: begin there',
    ],
    [
      ["write A v0 4 1"],
      '3:12: page 4 is out of range in "write A v0 4 1"; v0 has pages 0 to 3: begin there',
    ],
    [
      ["write A v0 1 99"],
      '3:14: page 99 is out of range in "write A v0 1 99"; v0 has pages 0 to 3: end there, or at most 8 pages later',
    ],
    [["readfd o0 7 1"], '3:11: page 7 is out of range in "readfd o0 7 1"; o0 has pages 0 to 5: begin there'],
    [
      ["map A v1 o0 0 0 rw"],
      "3:15: a mapping of 0 pages is impossible; give it 1 to 4096 pages (its place is 16 MiB)",
    ],
    [
      ["mapanon A v1 5000 rw"],
      "3:14: a mapping of 5000 pages is impossible; give it 1 to 4096 pages (its place is 16 MiB)",
    ],
    [["read B v0 0 1"], '3:6: there is no process B here; create it first ("fork A B"), or use A'],
    [["fork A B", "exit B", "read B v0 0 1"], "5:6: there is no process B here: it has exited; use A"],
    [
      ["exit A", "clearrefs A"],
      "4:11: there is no process A here: it has exited; end the program before the last process exits",
    ],
    [["read A v1 0 1"], "3:8: there is no mapping v1 in process A here; process A has v0"],
    [["readfd o1 0 1"], '3:8: there is no object o1 here; create it first ("obj o1 N")'],
    [["map A v1 o1 0 1 rw"], '3:10: there is no object o1 here; create it first ("obj o1 N")'],
    [["obj o0 1"], "3:5: the object name o0 is taken; choose another"],
    [["mapanon A v0 1 rw"], "3:11: the mapping name v0 is taken; choose another"],
    [["mremap A v0 v0"], "3:13: the mapping name v0 is taken; choose another"],
    [["fork A A"], "3:8: the process name A is taken; choose another"],
    [
      ["write A v0 0"],
      '3:13: "write A v0 0" ends too early: expected a number of pages, 0 to 65536; write "write P V I N"',
    ],
  ])("%j", (lines, message) => {
    expect(() => parse(...SETUP, ...lines)).toThrow(`a.ops:${message}`);
  });

  test("a mapping that a process never had", () => {
    expect(() => parse("read A v0 0 1")).toThrow(
      'a.ops:1:8: there is no mapping v0 in process A here; process A has none: map it first ("map A v0 O FIRST N rw")',
    );
  });
});
