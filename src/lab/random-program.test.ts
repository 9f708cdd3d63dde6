import { expect, test } from "vitest";
import { formatOp, parseProgram } from "../script/index.ts";
import { randomProgram } from "./random-program.ts";

const textOf = (seed: number) => randomProgram(seed).map(formatOp).join("\n");

test("a seed gives the same program every time, another seed another", () => {
  expect(textOf(7)).toBe(textOf(7));
  expect(new Set(Array.from({ length: 200 }, (_, seed) => textOf(seed))).size).toBe(200);
});

test("a program can be run: its names stand for something, its ranges begin within it", () => {
  for (let seed = 0; seed < 500; seed++) {
    const text = textOf(seed);
    expect(
      parseProgram(text, { file: `seed ${seed}` })
        .steps.map(({ op }) => formatOp(op))
        .join("\n"),
    ).toBe(text);
  }
});

test("programs have every kind of op, every advice, several processes, and ranges over the end", () => {
  const ops = Array.from({ length: 500 }, (_, seed) => randomProgram(seed)).flat();
  expect(new Set(ops.map(({ kind }) => kind)).size).toBe(22);
  expect(new Set(ops.flatMap((op) => (op.kind === "madvise" ? [op.advice] : []))).size).toBe(8);
  expect(new Set(ops.flatMap((op) => ("proc" in op ? [op.proc] : []))).has("D")).toBe(true);
  expect(ops.some((op) => op.kind === "mapcow" && op.prot === "r")).toBe(true);
  expect(ops.some((op) => op.kind === "truncate" && op.pages === 0)).toBe(true);
});
