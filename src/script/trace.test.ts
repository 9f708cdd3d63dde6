import { describe, expect, test } from "vitest";
import { recordedLines } from "../../test/support/trace-fixtures.ts";
import { parseProgram } from "./parse.ts";
import { formatOp } from "./syntax.ts";
import { formatTrace, parseTrace } from "./trace.ts";

const PLACE = { file: "t.jsonl", line: 7 };
const STEP = {
  op: "obj o0 1",
  errno: "",
  values: [],
  procs: { A: {} },
  mincore: { A: {} },
  objs: { o0: "H" },
};
const TRACE = { id: "t-1", kernel: "6.1.192-rfc", config: { PTE_MARKER: true }, steps: [STEP] };
const messageOf = (json: unknown) => {
  try {
    parseTrace(typeof json === "string" ? json : JSON.stringify(json), PLACE);
  } catch (error) {
    return (error as Error).message;
  }
  return "no error";
};

describe("every recorded trace", () => {
  test("is read, is written as it was, and is a program that passes the static checks", () => {
    let steps = 0;
    for (const { text, ...place } of recordedLines()) {
      const trace = parseTrace(text, place);
      if (formatTrace(trace) !== text) expect(formatTrace(trace)).toBe(text);
      const program = trace.steps.map(({ op }) => formatOp(op)).join("\n");
      steps += parseProgram(program, { file: trace.id }).steps.length;
    }
    expect(steps).toBeGreaterThan(80_000);
  });
});

describe("a line that is no whole trace says what is wrong", () => {
  test.each([
    [JSON.stringify(TRACE).slice(0, 60), /^t.jsonl:7: this line is no JSON: .*; get the file again/],
    [[], /^t.jsonl:7: the trace should be an object, not \[\]; see the trace format/],
    [{ ...TRACE, kernel: undefined }, /^t.jsonl:7: kernel is missing/],
    [
      { ...TRACE, config: { PTE_MARKER: null } },
      /config.PTE_MARKER should be true, false, a number or a string/,
    ],
    [{ ...TRACE, steps: {} }, /steps should be an array, not \{\}/],
    [
      { ...TRACE, steps: [{ ...STEP, op: "objj o0 1" }] },
      /^t.jsonl:7: trace t-1, step 1: unknown op "objj"; did you/,
    ],
    [{ ...TRACE, steps: [{ ...STEP, errno: undefined }] }, /step 1: errno is missing/],
    [{ ...TRACE, steps: [{ ...STEP, values: ["1"] }] }, /step 1: values should be numbers, not "1"/],
    [{ ...TRACE, steps: [{ ...STEP, procs: { A: { v0: [1] } } }] }, /procs.A.v0 should be strings, not 1/],
    [
      { ...TRACE, steps: [{ ...STEP, mincore: { A: { v0: [] } } }] },
      /mincore.A.v0 should be a string, not \[\]/,
    ],
    [{ ...TRACE, steps: [{ ...STEP, objs: null }] }, /objs should be an object, not null/],
    [
      { ...TRACE, steps: [STEP, { ...STEP, op: "exit B" }] },
      /step 2: there is no process B here \("exit B"\)/,
    ],
  ])("%j", (json, message) => {
    expect(messageOf(json)).toMatch(message);
  });

  test("but a failed op takes its name out of what later ops may use", () => {
    const failed = { ...STEP, op: "mapanon A v0 1 rw", errno: "ENOMEM" };
    const later = { ...STEP, op: "read A v0 0 1" };
    expect(messageOf({ ...TRACE, steps: [failed, later] })).toMatch(
      /there is no mapping v0 in process A here: creating it failed with ENOMEM/,
    );
  });
});

test("a trace is written with the values that JSON's own writer refuses", () => {
  const trace = parseTrace(JSON.stringify(TRACE), PLACE);
  const [step] = trace.steps;
  const large = formatTrace({
    ...trace,
    steps: [{ ...step, values: [1n, 2 ** 40, 0xffff_ffff_ffff_ffffn] }],
  });
  expect(large).toContain('"values":[1,1099511627776,18446744073709551615]');
});
