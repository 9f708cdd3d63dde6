import type { Machine } from "./machine.ts";
import type { Program } from "./parse.ts";
import { Scope } from "./scope.ts";
import { ScriptError } from "./script-error.ts";
import type { TraceStep } from "./trace.ts";

/**
 * Runs a program, step by step: after each step, what it returned and what the machine shows.
 *
 * @throws {ScriptError} at an op whose names stand for nothing, since an earlier op failed
 */
export function* runProgram(program: Program, machine: Machine): Generator<TraceStep> {
  const scope = new Scope();
  for (const [index, { op, line }] of program.steps.entries()) {
    const problem = scope.nameProblem(op);
    if (problem) throw new ScriptError({ file: program.file, line }, problem);
    const result = machine.execute(op, index + 1);
    scope.apply(op, result.errno);
    yield { op, ...result, ...machine.observe() };
  }
}
