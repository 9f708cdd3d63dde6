import { describe, expect, test } from "vitest";
import { parseOp } from "./parse.ts";
import { Scope } from "./scope.ts";

const op = (text: string) => parseOp(text, { file: "a.ops" });

/** A scope after ops that ended well, or with the errno after a colon. */
function scopeAfter(...lines: string[]): Scope {
  const scope = new Scope();
  for (const line of lines) {
    const [text, errno = ""] = line.split(":");
    scope.apply(op(text), errno);
  }
  return scope;
}

const problemOf = (scope: Scope, text: string) => scope.nameProblem(op(text))?.problem;

describe("the scope of a program", () => {
  test("begins with process A, and nothing else", () => {
    expect(problemOf(new Scope(), "clearrefs A")).toBeUndefined();
    expect(problemOf(new Scope(), "clearrefs B")).toBe("there is no process B here");
    expect([...new Scope().mappings()]).toEqual([]);
  });

  test.each([
    [["obj o0 1:ENOMEM"], "readfd o0 0 1", "there is no object o0 here: creating it failed with ENOMEM"],
    [["fork A B:EAGAIN"], "exit B", "there is no process B here: its fork failed with EAGAIN"],
    [
      ["mapanon A v0 1 rw", "mremap A v0 v1"],
      "uffd A v0",
      "there is no mapping v0 in process A here: mremap renamed it v1",
    ],
    [
      ["mapanon A v0 1 rw", "mremap A v0 v1:EFAULT"],
      "uffd A v1",
      "there is no mapping v1 in process A here: creating it failed with EFAULT",
    ],
    [["fork A B"], "fork A B", "the process name B is taken"],
  ])("after %j, `%s`: %s", (lines, text, problem) => {
    expect(problemOf(scopeAfter(...lines), text)).toBe(problem);
  });

  test("the name of a process that has exited may be another's, of whom nothing is known from before", () => {
    const scope = scopeAfter("mapanon A v0 1 rw", "fork A B", "mremap B v0 v1", "exit B", "fork A B");
    expect(problemOf(scope, "read B v0 0 1")).toBeUndefined();
    expect(problemOf(scope, "read B v1 0 1")).toBe("there is no mapping v1 in process B here");
  });

  test("a mapping that failed to move is still there", () => {
    expect(problemOf(scopeAfter("mapanon A v0 1 rw", "mremap A v0 v1:EFAULT"), "uffd A v0")).toBeUndefined();
  });

  test("a child's, and a moved, mapping has the same origin", () => {
    const scope = scopeAfter("obj o0 9", "map A v0 o0 3 4 rw", "fork A B", "mremap B v0 v1");
    expect(scope.mapping("A", "v0")).toEqual({ pages: 4, obj: "o0", first: 3 });
    expect(scope.mapping("B", "v1")).toBe(scope.mapping("A", "v0"));
    expect([...scope.mappings()].map(({ proc, mapping }) => `${proc}.${mapping}`)).toEqual(["A.v0", "B.v1"]);
  });

  test("an object's pages are those of its largest size", () => {
    const range = (scope: Scope) => scope.rangeProblem(op("readfd o0 8 1"))?.problem;
    expect(range(scopeAfter("obj o0 4"))).toBe('page 8 is out of range in "readfd o0 8 1"');
    expect(range(scopeAfter("obj o0 4", "truncate o0 9", "truncate o0 2"))).toBeUndefined();
    expect(range(scopeAfter("obj o0 4", "writefd o0 6 2"))).toBeUndefined();
    expect(range(scopeAfter("obj o0 4", "writefd o0 6 2:ENOSPC"))).toBe(
      'page 8 is out of range in "readfd o0 8 1"',
    );
  });
});
