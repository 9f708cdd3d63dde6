import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Signals that ask for an orderly end, taken while this lives: waits are cut short, and what was begun is finished. */
export class EndSignals implements Disposable {
  readonly #aborter = new AbortController();
  readonly #taken = () => this.#aborter.abort();

  constructor() {
    for (const signal of SIGNALS) process.on(signal, this.#taken);
  }

  /** Aborted when one comes. */
  get signal(): AbortSignal {
    return this.#aborter.signal;
  }

  /** Waits. Returns whether one came, before or meanwhile. */
  async within(milliseconds: number): Promise<boolean> {
    try {
      await sleep(milliseconds, undefined, { signal: this.#aborter.signal });
    } catch {
      // it came
    }
    return this.#aborter.signal.aborted;
  }

  [Symbol.dispose](): void {
    for (const signal of SIGNALS) process.off(signal, this.#taken);
  }
}
