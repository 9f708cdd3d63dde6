// The example programs: each runs on the kernel that it names, and shows what docs/op-language.md says of it.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { DEFAULT_PROFILE, markerLayoutOf, profileNamed } from "../src/model/index.ts";
import {
  createModelMachine,
  entrySymbol,
  formatOp,
  parseProgram,
  runProgram,
  type TraceStep,
} from "../src/script/index.ts";

const FOLDER = fileURLToPath(new URL("../examples", import.meta.url));
const GUIDE = readFileSync(new URL("../docs/op-language.md", import.meta.url), "utf8");
const EXAMPLES = readdirSync(FOLDER).sort();

interface Run {
  readonly profile: string;
  readonly steps: readonly TraceStep[];
  /** The step's mapping, a letter a page, as `ptemark run` shows it. */
  readonly letters: (step: number, proc: string, mapping: string) => string;
}

/** Runs an example on the profile that its first line names, unless told another. */
function run(name: string, otherProfile?: string): Run {
  const text = readFileSync(join(FOLDER, name), "utf8");
  const profile = otherProfile ?? /^# profile: (\S+)\n/.exec(text)?.[1] ?? "none in the first line";
  const layout = markerLayoutOf(profileNamed(profile));
  const machine = createModelMachine({ profile });
  const steps = [...runProgram(parseProgram(text, { file: name }), machine)];
  machine.close();
  const letters = (step: number, proc: string, mapping: string): string =>
    steps[step - 1].procs[proc][mapping].map((entry) => entrySymbol(entry, layout)).join("");
  return { profile, steps, letters };
}

describe.each(EXAMPLES)("%s", (name) => {
  test("runs, and no op fails", () => {
    const { steps } = run(name);
    expect(steps.map(({ op, errno }) => `${formatOp(op)} ${errno}`.trimEnd())).toEqual(
      steps.map(({ op }) => formatOp(op)),
    );
  });

  test("is in the guide, with a command that runs it on its profile", () => {
    const { profile } = run(name);
    const option = profile === DEFAULT_PROFILE ? "" : ` --profile ${profile}`;
    expect(GUIDE).toContain(`](../examples/${name})`);
    expect(GUIDE).toContain(`\nnode dist/cli/main.js run${option} examples/${name}\n`);
  });
});

test("functional.ops: a marker after page-out, none after REMOVE; without the RFC never one", () => {
  const { steps, letters } = run("functional.ops");
  expect(steps.slice(2).map((_, i) => letters(i + 3, "A", "v0"))).toEqual([..."PMP.PM."]);
  const stock = run("functional.ops", "linux-6.1");
  expect(stock.steps.slice(2).map((_, i) => stock.letters(i + 3, "A", "v0"))).toEqual([..."P.P.P.."]);
});

test("stale-marker.ops: A's entries say swap of pages that are in memory, until A uses them", () => {
  const { steps, letters } = run("stale-marker.ops");
  for (const [step, objects] of [
    [6, "SSS"],
    [7, "RSS"],
    [8, "RRS"],
  ] as const) {
    expect(steps[step - 1].objs.o0).toBe(objects);
    expect(letters(step, "A", "v0")).toBe("MMM");
  }
  expect(letters(9, "A", "v0")).toBe("PPP");
  expect(steps[8].values).toEqual([4, 4, 4]);
});

test("fork.ops: the child has the swap entries of private memory, and no marker of shared memory", () => {
  const { steps, letters } = run("fork.ops");
  expect([letters(8, "A", "v0"), letters(8, "A", "v1")]).toEqual(["MM", "SS"]);
  expect([letters(8, "B", "v0"), letters(8, "B", "v1")]).toEqual(["..", "SS"]);
  expect(Object.keys(steps[8].procs)).toEqual(["B"]);
  expect(steps[8].objs.o0).toBe("SS");
  expect(steps[9].values).toEqual([4, 4]);
});

test("fault-around.ops: a read maps all through empty entries, and one page through markers", () => {
  const { steps, letters } = run("fault-around.ops");
  expect([steps[5].objs.o0, letters(6, "A", "v0"), letters(6, "A", "v1")]).toEqual([
    "RRRRRRRR",
    "MMMMMMMM",
    "........",
  ]);
  expect(letters(7, "A", "v1")).toBe("PPPPPPPP");
  expect(letters(8, "A", "v0")).toBe("MMMPMMMM");
  expect(run("fault-around.ops", "linux-6.1").letters(8, "A", "v0")).toBe("PPPPPPPP");
});

test("uffd-stand-in.ops: armed pages leave markers, a write disarms, REMOVE leaves one over a hole", () => {
  const { steps, letters } = run("uffd-stand-in.ops");
  expect([letters(6, "A", "v0"), steps[5].objs.o0]).toEqual(["WW..", "SSSH"]);
  const [first] = steps[6].procs.A.v0;
  expect(Number.parseInt(first, 16) & 0b100, "read: still armed").toBe(0b100);
  expect(letters(9, "A", "v0")).toBe(".W..");
  expect([letters(10, "A", "v0"), steps[9].objs.o0]).toEqual([".W..", "SHSH"]);
  expect([letters(11, "A", "v0"), steps[10].objs.o0]).toEqual([".W.W", "SHSH"]);
});
