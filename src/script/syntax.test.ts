import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Op } from "./op.ts";
import { formatOp, PAGES_MAX, readOp, wordOf } from "./syntax.ts";

const proc = fc.constantFrom("A", "B", "C", "Z");
const mapping = fc.nat(9999).map((n) => `v${n}`);
const obj = fc.nat(9999).map((n) => `o${n}`);
const number = fc.nat(PAGES_MAX);
const prot = fc.constantFrom("rw" as const, "r" as const);
const advice = fc.constantFrom(
  ...([
    "DONTNEED",
    "REMOVE",
    "PAGEOUT",
    "COLD",
    "WILLNEED",
    "FREE",
    "POPULATE_READ",
    "POPULATE_WRITE",
  ] as const),
);
const range = { proc, mapping, first: number, pages: number };
const kind = <K extends Op["kind"]>(...kinds: K[]) => fc.constantFrom(...kinds);

const anyOp: fc.Arbitrary<Op> = fc.oneof(
  fc.record({ kind: kind("obj", "truncate"), obj, pages: number }),
  fc.record({ kind: kind("map", "mapcow"), ...range, obj, prot }),
  fc.record({ kind: kind("mapanon"), proc, mapping, pages: number, prot }),
  fc.record({ kind: kind("unmap", "write", "read"), ...range }),
  fc.record({ kind: kind("madvise"), ...range, advice }),
  fc.record({ kind: kind("mprotect"), ...range, prot }),
  fc.record({ kind: kind("mremap"), proc, mapping, to: mapping }),
  fc.record({ kind: kind("fork"), proc, child: proc }),
  fc.record({ kind: kind("exit", "clearrefs"), proc }),
  fc.record({ kind: kind("readfd", "writefd", "punch"), obj, first: number, pages: number }),
  fc.record({ kind: kind("reclaim", "swapoff", "swapon") }),
  fc.record({ kind: kind("uffd"), proc, mapping }),
  fc.record({ kind: kind("uffdwp"), ...range, protect: fc.boolean() }),
);

const read = (text: string) => readOp(text.split(" "));

describe("an op", () => {
  test("is read back from its text", () => {
    fc.assert(
      fc.property(anyOp, (op) => {
        expect(read(formatOp(op))).toEqual(op);
      }),
    );
  });

  test.each([
    [
      "map A v0 o0 2 4 rw",
      { kind: "map", proc: "A", mapping: "v0", obj: "o0", first: 2, pages: 4, prot: "rw" },
    ],
    ["uffdwp A v0 0 1 0", { kind: "uffdwp", proc: "A", mapping: "v0", first: 0, pages: 1, protect: false }],
    ["mremap B v0 v2", { kind: "mremap", proc: "B", mapping: "v0", to: "v2" }],
    ["reclaim", { kind: "reclaim" }],
  ])("`%s` has its parts by name", (text, op) => {
    expect(read(text)).toEqual(op);
  });

  test("tells which of its words a property is", () => {
    const op = read("map A v0 o0 2 4 rw") as Op;
    expect(["proc", "mapping", "obj", "first", "pages", "prot"].map((name) => wordOf(op, name))).toEqual([
      1, 2, 3, 4, 5, 6,
    ]);
  });
});

describe("a wrong op says what is wrong with which word", () => {
  test.each([
    ["wrte A v0 0 1", 0, /unknown op "wrte"/, /did you mean "write P V I N"\?/],
    ["MADVISE A v0 0 1 COLD", 0, /unknown op "MADVISE"/, /"madvise P V I N ADVICE"/],
    ["frobnicate", 0, /unknown op "frobnicate"/, /the ops are obj, map, .*uffdwp/],
    ["constructor", 0, /unknown op/, /the ops are/],
    ["write a v0 0 1", 1, /expected a process \(A, B, ...\), found "a"/, /"write P V I N"/],
    ["write A o0 0 1", 2, /expected a mapping .*found "o0"/, /./],
    ["write A v0 -1 1", 3, /expected the first page, 0 to 65536, found "-1"/, /./],
    ["write A v0 0 1e3", 4, /expected a number of pages, 0 to 65536, found "1e3"/, /./],
    ["obj o0 65537", 2, /0 to 65536/, /./],
    ["map A v0 o0 0 1 rwx", 6, /expected one of rw, r, found "rwx"/, /./],
    ["madvise A v0 0 1 MADV_COLD", 5, /one of DONTNEED, REMOVE, .*FREE.*, found "MADV_COLD"/, /./],
    ["uffdwp A v0 0 1 on", 5, /expected 1 \(protect\) or 0 \(allow\)/, /./],
    ["write A v0 0", 4, /"write A v0 0" ends too early: expected a number of pages/, /"write P V I N"/],
    ["reclaim A", 1, /expected the end of the line, found "A"/, /"reclaim"/],
  ])("`%s`", (text, word, problem, mend) => {
    expect(read(text)).toEqual({
      word,
      problem: expect.stringMatching(problem),
      mend: expect.stringMatching(mend),
    });
  });
});
