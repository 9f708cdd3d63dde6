import type { Op } from "./op.ts";
import { Scope } from "./scope.ts";
import { type Place, ScriptError } from "./script-error.ts";
import { readOp, type WordProblem } from "./syntax.ts";

/** An op program: what to run, and where each op stands in its file. */
export interface Program {
  readonly file: string;
  readonly steps: readonly { readonly op: Op; readonly line: number }[];
}

/**
 * Reads a program in the op language (test/fixtures/traces/README.md): one op a line, `#` starts a comment.
 * Names must stand for something, and ranges must begin within their mapping or object.
 *
 * @throws {ScriptError} at the first op that is wrong: with the line, the column and the mend
 */
export function parseProgram(text: string, { file }: { readonly file: string }): Program {
  const scope = new Scope();
  const steps: { op: Op; line: number }[] = [];
  const lines = text.split(/\r?\n/);
  for (let i = 0; i < lines.length; i++) {
    const code = lines[i].replace(/#.*/, "");
    const words = code.match(/\S+/g);
    if (words === null) continue;
    const fail = (problem: WordProblem): never => {
      throw new ScriptError({ file, line: i + 1, column: columnOf(code, problem.word) }, problem);
    };
    const op = readOp(words);
    if (isProblem(op)) return fail(op);
    const problem = scope.nameProblem(op) ?? scope.rangeProblem(op);
    if (problem) return fail(problem);
    scope.apply(op);
    steps.push({ op, line: i + 1 });
  }
  return { file, steps };
}

/**
 * Reads one op. Whether its names stand for anything is not asked.
 *
 * @throws {ScriptError} at `place`
 */
export function parseOp(text: string, place: Place): Op {
  const op = readOp(text.split(" "));
  if (isProblem(op)) throw new ScriptError(place, op);
  return op;
}

function isProblem(op: Op | WordProblem): op is WordProblem {
  return "problem" in op;
}

/** Column (from 1) where a word of a line begins; for a word too many, where the line ends. */
function columnOf(code: string, word: number): number {
  let found = 0;
  for (const { index } of code.matchAll(/\S+/g)) {
    if (found++ === word) return index + 1;
  }
  return code.trimEnd().length + 1;
}
