import { RandomChoices } from "../lab/choices.ts";
import { CLASSES, type ExploreScope, KernelSpace, NamedRun, preludeOf, walk } from "../lab/explore/index.ts";
import { Random } from "../lab/random.ts";
import { InputError } from "./errors.ts";
import { scopeFlags } from "./explore-report.ts";

/** Runs a finding's moves again: what each does, and what is so after it. */
export function replayMoves(scope: ExploreScope, moves: readonly number[], programOnly: boolean): string {
  const space = new KernelSpace(scope);
  const run = new NamedRun(space);
  const lines = [...preludeOf(scope)];
  if (!programOnly) lines.push(`    ${run.describe()}`);
  for (const [i, move] of moves.entries()) {
    if (programOnly && space.moves[move] !== undefined && space.moves[move].kind !== "op")
      throw new InputError("--program: these are stages of tasks, which no program of operations can show");
    if (!run.make(move))
      throw new InputError(
        `--replay: move ${i + 1} (${move}) can't be made here: are these the moves of a finding in this scope?`,
      );
    lines.push(run.lines[i]);
    if (programOnly) {
      if (i < moves.length - 1) run.settle();
      continue;
    }
    const wrong = (space.shown & space.fatal) !== 0;
    const shown = space.shown;
    if (!wrong) lines.push(`    ${run.describe()}`);
    for (const text of tellShown(shown)) lines.push(`    ${text}`);
    if (wrong) break;
    run.settle();
  }
  return `${lines.join("\n")}\n`;
}

function tellShown(shown: number): string[] {
  return CLASSES.filter((_, bit) => (shown & (1 << bit)) !== 0).map(
    ({ name, kind, says }) => `${name}: ${kind}: ${says}`,
  );
}

interface WalkOptions {
  readonly runs: number;
  readonly seed: number;
}

/** How long a walk is; there is no bound but this. */
const WALK_MOVES = 200;
/** An operation more than it would be chosen otherwise: processes that end soon show little. */
const WEIGHTS: Readonly<Record<string, number>> = { exit: 0.2, swapoff: 0.5, read: 2, write: 2 };

/** Walks at random, each from a seed of its own. Tells of each class the shortest walk that showed it. */
export function walkRandomly(
  scope: ExploreScope,
  { runs, seed }: WalkOptions,
): { readonly text: string; readonly isBroken: boolean } {
  const isStages = scope.accesses + scope.pageOuts > 0;
  const deep = isStages ? scope : { ...scope, depth: 64 };
  const space = new KernelSpace(deep);
  const weights = space.moves.map((move) => (move.kind === "op" ? (WEIGHTS[move.op.kind] ?? 1) : 4));
  const seeds = new Random(seed);
  const best = new Map<string, readonly number[]>();
  let moves = 0;
  for (let run = 0; run < runs; run++) {
    const walked = walk(space, new RandomChoices(seeds.u32(), weights), WALK_MOVES);
    moves += walked.moves.length;
    for (const [name, length] of walked.shown) {
      const known = best.get(name);
      if (known === undefined || length < known.length) best.set(name, walked.moves.slice(0, length));
    }
  }
  const lines = [`${runs} random walks from seed ${seed}, ${moves} moves`];
  for (const { name, kind, says } of CLASSES) {
    const path = best.get(name);
    if (path === undefined) continue;
    lines.push(`  ${name}: ${kind}: ${says}`);
    lines.push(`    ptemark explore${scopeFlags(deep)} --replay ${path.join(".")}`);
  }
  const isBroken = CLASSES.some(({ name, kind }) => kind === "broken" && best.has(name));
  return { text: `${lines.join("\n")}\n`, isBroken };
}
