// How much a piece of code does, counted without a clock: V8 counts how often each part of it runs.
import { type Profiler, Session } from "node:inspector";
import { setFlagsFromString } from "node:v8";

/** How much code of a function ran: the characters of each part, times how often it ran. */
function charactersRun(ranges: readonly Profiler.CoverageRange[]): number {
  // Each range lies in the one before it, or follows one of those that it lies in.
  const open: Profiler.CoverageRange[] = [];
  let characters = 0;
  for (const range of ranges) {
    while (open.length > 0 && open[open.length - 1].endOffset <= range.startOffset) open.pop();
    const outer = open.at(-1);
    characters += (range.count - (outer?.count ?? 0)) * (range.endOffset - range.startOffset);
    open.push(range);
  }
  return characters;
}

/**
 * Counts what runs in files whose URL contains `urlPart`, in characters of code. Only what is imported after this was
 * made is counted; what native functions do is not.
 */
export class CodeCounter {
  readonly #session = new Session();
  readonly #urlPart: string;

  constructor(urlPart: string) {
    this.#urlPart = urlPart;
    // A call that the optimizer inlines is not counted as one.
    setFlagsFromString("--no-opt");
    this.#session.connect();
    this.#session.post("Profiler.enable");
    this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  /** The characters of code that run during `action`. */
  count(action: () => void): number {
    this.#take();
    action();
    return this.#take();
  }

  /** What ran since this was last called. */
  #take(): number {
    let scripts: Profiler.ScriptCoverage[] | undefined;
    this.#session.post("Profiler.takePreciseCoverage", (error, taken) => {
      if (error !== null) throw error;
      scripts = taken.result;
    });
    if (scripts === undefined) throw new Error("the inspector did not answer at once");
    let characters = 0;
    for (const { url, functions } of scripts)
      if (url.includes(this.#urlPart))
        for (const { ranges } of functions) characters += charactersRun(ranges);
    return characters;
  }

  stop(): void {
    this.#session.disconnect();
    setFlagsFromString("--opt");
  }
}
