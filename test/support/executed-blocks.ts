// How much a piece of code does, counted without a clock: V8 counts each block of it that runs.
import { type Profiler, Session } from "node:inspector";

/**
 * Counts the blocks (function bodies, branches, loop bodies) that run in files whose URL contains `urlPart`. Only what
 * is imported after this was made is counted; what native functions do is not.
 */
export class BlockCounter {
  readonly #session = new Session();
  readonly #urlPart: string;

  constructor(urlPart: string) {
    this.#urlPart = urlPart;
    this.#session.connect();
    this.#session.post("Profiler.enable");
    this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  /** The blocks that run during `action`. */
  count(action: () => void): number {
    this.#take();
    action();
    return this.#take();
  }

  /** The blocks that ran since this was last called. */
  #take(): number {
    let scripts: Profiler.ScriptCoverage[] | undefined;
    this.#session.post("Profiler.takePreciseCoverage", (error, taken) => {
      if (error !== null) throw error;
      scripts = taken.result;
    });
    if (scripts === undefined) throw new Error("the inspector did not answer at once");
    let blocks = 0;
    for (const { url, functions } of scripts)
      if (url.includes(this.#urlPart))
        for (const { ranges } of functions) for (const { count } of ranges) blocks += count;
    return blocks;
  }

  stop(): void {
    this.#session.disconnect();
  }
}
