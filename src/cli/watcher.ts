/** Looks at one process, again and again. Loaded by the commands that need the running kernel. */

import {
  attach,
  createDetector,
  type Detector,
  isSharedMemory,
  type LinuxAttachment,
  LinuxTarget,
  type Mapping,
  mappingKey,
  type SkippedMapping,
  scanTarget,
  type TargetScan,
} from "../residency/index.ts";
import { unlessEnded } from "./unless-ended.ts";
import type { Look } from "./watch-state.ts";

export interface WatcherOptions {
  readonly isWanted: (mapping: Mapping) => boolean;
  /** Whether to attach to the shared memory that is wanted: writes are seen then. */
  readonly attaches: boolean;
}

export class Watcher implements Disposable {
  readonly #target: LinuxTarget;
  readonly #attachment: LinuxAttachment | undefined;
  readonly #detector: Detector;
  readonly #isWanted: (mapping: Mapping) => boolean;

  private constructor(target: LinuxTarget, { isWanted }: WatcherOptions, attachment?: LinuxAttachment) {
    this.#target = target;
    this.#attachment = attachment;
    this.#detector = createDetector("exact", target);
    this.#isWanted = isWanted;
  }

  /**
   * Throws a LinuxError: ESRCH if there is no such process, EACCES without ptrace read access to it; if it is to be
   * attached to, why it can't be.
   */
  static open(pid: number, options: WatcherOptions): Watcher {
    const { isWanted, attaches } = options;
    if (!attaches) return new Watcher(LinuxTarget.open(pid), options);
    const attachment = attach(pid, { choose: (mapping) => isSharedMemory(mapping) && isWanted(mapping) });
    return new Watcher(attachment.target, options, attachment);
  }

  get name(): string {
    return this.#target.name;
  }

  /** Whether there is anything to look at. */
  hasMappings(): boolean {
    return this.#target.mappings().some(this.#isWanted);
  }

  /** undefined: the process has ended. */
  look(): Look | undefined {
    return unlessEnded(this.#target, () => {
      const start = performance.now();
      const pass = this.#attachment?.attachment.pass();
      const scan = scanTarget(this.#target, this.#detector, { choose: this.#isWanted });
      const tookMs = performance.now() - start;
      return { scan: pass ? withReasons(scan, pass.skipped) : scan, tookMs, written: pass?.written };
    });
  }

  [Symbol.dispose](): void {
    (this.#attachment ?? this.#target)[Symbol.dispose]();
  }
}

/** Notes of a mapping that it is not attached to, and why. */
function withReasons(scan: TargetScan, skipped: readonly SkippedMapping[]): TargetScan {
  const reasons = new Map(skipped.map(({ mapping, reason }) => [mappingKey(mapping), reason]));
  const mappings = scan.mappings.map((one) => {
    const reason = reasons.get(mappingKey(one.mapping));
    return reason === undefined ? one : { ...one, note: `not attached: ${reason}` };
  });
  return { ...scan, mappings };
}
