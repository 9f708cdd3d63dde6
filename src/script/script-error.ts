/** Where in the input something is: as much as is known of it. */
export interface Place {
  readonly file: string;
  /** From 1. */
  readonly line?: number;
  /** From 1; the place shows it only together with the line. */
  readonly column?: number;
  /** What at that place is meant, such as "trace rfc-00017, step 3". */
  readonly within?: string;
}

/** What is wrong with an input, and how to mend it: both begin in lower case and end without a full stop. */
export interface Problem {
  readonly problem: string;
  readonly mend: string;
}

/** A program or a trace that cannot be used. The message names the place, the problem and the mend. */
export class ScriptError extends Error {
  override readonly name = "ScriptError";
  readonly place: Place;
  readonly problem: string;
  readonly mend: string;

  constructor(place: Place, { problem, mend }: Problem) {
    super(`${formatPlace(place)}: ${problem}; ${mend}`);
    this.place = place;
    this.problem = problem;
    this.mend = mend;
  }
}

function formatPlace({ file, line, column, within }: Place): string {
  const numbers = line === undefined ? "" : column === undefined ? `:${line}` : `:${line}:${column}`;
  return `${file}${numbers}${within === undefined ? "" : `: ${within}`}`;
}
