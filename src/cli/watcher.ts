/** Looks at one process, again and again. Loaded by the commands that need the running kernel. */

import { createDetector, type Detector, LinuxTarget, type Mapping, scanTarget } from "../residency/index.ts";
import { unlessEnded } from "./unless-ended.ts";
import type { Look } from "./watch-state.ts";

export interface WatcherOptions {
  readonly choose: (mapping: Mapping) => boolean;
}

export class Watcher implements Disposable {
  readonly #target: LinuxTarget;
  readonly #detector: Detector;
  readonly #choose: (mapping: Mapping) => boolean;

  private constructor(target: LinuxTarget, { choose }: WatcherOptions) {
    this.#target = target;
    this.#detector = createDetector("exact", target);
    this.#choose = choose;
  }

  /** Throws a LinuxError: ESRCH if there is no such process, EACCES without ptrace read access to it. */
  static open(pid: number, options: WatcherOptions): Watcher {
    return new Watcher(LinuxTarget.open(pid), options);
  }

  get name(): string {
    return this.#target.name;
  }

  /** undefined: the process has ended. */
  look(): Look | undefined {
    return unlessEnded(this.#target, () => {
      const start = performance.now();
      const scan = scanTarget(this.#target, this.#detector, { choose: this.#choose });
      return { scan, tookMs: performance.now() - start };
    });
  }

  [Symbol.dispose](): void {
    this.#target[Symbol.dispose]();
  }
}
