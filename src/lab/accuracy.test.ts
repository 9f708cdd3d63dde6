import { describe, expect, test } from "vitest";
import { createModelMachine, parseProgram } from "../script/index.ts";
import { type AccuracyOptions, measureAccuracy, shareRight } from "./accuracy.ts";

function accuracyOf(lines: readonly string[], options: AccuracyOptions, profile = "rfc") {
  const ops = parseProgram(lines.join("\n"), { file: "test" }).steps.map(({ op }) => op);
  return measureAccuracy(createModelMachine({ profile }), ops, options);
}

const MARKER: AccuracyOptions = { mechanism: "marker" };
const WRITTEN = ["obj o0 8", "map A v0 o0 0 8 rw", "write A v0 0 8"];

describe("an accuracy", () => {
  test("counts the pages of shared mappings after each step", () => {
    const accuracy = accuracyOf([...WRITTEN, "madvise A v0 0 2 PAGEOUT"], MARKER);
    // No mapping after the first step, 8 pages after each of the others.
    expect(accuracy).toMatchObject({ steps: 4, pageSteps: 24, swapped: 2, flagged: 2 });
    expect(shareRight(accuracy)).toBe(1);
    expect(accuracy.causes).toEqual([]);
  });

  test("counts an error at every step for which it lasts, under the cause it began with", () => {
    const accuracy = accuracyOf(
      [...WRITTEN, "madvise A v0 0 3 PAGEOUT", "readfd o0 0 2", "clearrefs A", "read A v0 0 1"],
      MARKER,
    );
    expect(accuracy.causes).toEqual([{ cause: "descriptor", errors: 2, pageSteps: 5 }]);
    expect(accuracy.falsePositivesByStep).toEqual([0, 0, 0, 0, 2, 2, 1]);
    expect(shareRight(accuracy)).toBe(1 - 5 / (6 * 8));
  });

  test("of a page that is wrong in one way and then in the other counts two errors", () => {
    const accuracy = accuracyOf(
      [...WRITTEN, "madvise A v0 0 1 PAGEOUT", "readfd o0 0 1", "madvise A v0 0 1 DONTNEED", "reclaim"],
      MARKER,
    );
    expect(accuracy.causes).toEqual([
      { cause: "PTE zapped before page-out", errors: 1, pageSteps: 1 },
      { cause: "descriptor", errors: 1, pageSteps: 1 },
    ]);
  });

  test("leaves private mappings and unmapped pages out", () => {
    const accuracy = accuracyOf(
      [
        ...WRITTEN,
        "mapcow A v1 o0 0 8 rw",
        "mapanon A v2 4 rw",
        "unmap A v0 0 6",
        "madvise A v0 6 2 PAGEOUT",
      ],
      MARKER,
    );
    expect(accuracy.pageSteps).toBe(8 * 4 + 2 * 2);
  });

  test("follows a mapping that moves, and one that starts within the object", () => {
    const accuracy = accuracyOf(
      [...WRITTEN, "map A v1 o0 4 4 rw", "madvise A v0 0 8 PAGEOUT", "mremap A v0 v2", "swapoff"],
      MARKER,
    );
    expect(accuracy.causes).toEqual([
      { cause: "never mapped here", errors: 4, pageSteps: 8 },
      { cause: "swapoff", errors: 8, pageSteps: 8 },
    ]);
  });

  test("judges any answer that is given in place of the bit", () => {
    const lines = [...WRITTEN, "madvise A v0 0 2 PAGEOUT"];
    const always = accuracyOf(lines, { ...MARKER, bits: () => new Uint8Array(8).fill(1) });
    const never = accuracyOf(lines, { ...MARKER, bits: () => new Uint8Array(8) });
    expect(always).toMatchObject({ falsePositives: 8 + 8 + 6, falseNegatives: 0, flagged: 24 });
    expect(never).toMatchObject({ falsePositives: 0, falseNegatives: 2, flagged: 0 });
  });

  test("throws when an op fails, since what follows is then another program", () => {
    expect(() => accuracyOf([...WRITTEN, "swapon"], MARKER)).toThrow(/op 4 of the workload, swapon, failed/);
  });
});

describe("the stand-in", () => {
  const standIn = (rearmEvery: number) =>
    accuracyOf(
      [...WRITTEN, "madvise A v0 0 4 PAGEOUT", "write A v0 0 2", "madvise A v0 0 8 PAGEOUT"],
      { mechanism: "stand-in", rearmEvery },
      "linux-6.18",
    );

  test("armed after every step is right", () => {
    expect(standIn(1).causes).toEqual([]);
    expect(standIn(1)).toMatchObject({ swapped: 4 + 2 + 8, flagged: 4 + 2 + 8 });
  });

  test("armed seldom does not see what was written meanwhile", () => {
    expect(standIn(3).causes).toEqual([{ cause: "not armed", errors: 2, pageSteps: 2 }]);
    expect(standIn(100)).toMatchObject({ flagged: 0, falseNegatives: 14 });
  });
});
