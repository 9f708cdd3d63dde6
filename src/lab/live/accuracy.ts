/** How often the running kernel's answers are right: its markers' stand-in, and the exact detector on top of it. */

import { ExactDetector, LinuxTarget, STATE_MASK, SWAP_CACHED, SWAPPED } from "../../residency/index.ts";
import type { Op } from "../../script/index.ts";
import { createLinuxMachine, LinuxHost, type LinuxMachine } from "../../script/linux-machine.ts";
import { type Accuracy, measureAccuracy } from "../accuracy.ts";
import { WAIT_MS } from "./swap-in.ts";

export interface LiveAccuracy {
  readonly standIn: Accuracy;
  readonly exact: Accuracy;
}

export interface LiveAccuracyOptions {
  readonly rearmEvery?: number;
}

/** The running kernel with swap of its own, for one program after the other. */
export class LiveAccuracyLab implements Disposable {
  readonly #host: LinuxHost;

  private constructor(host: LinuxHost) {
    this.#host = host;
  }

  /** Throws a `LinuxError` where that is not possible. */
  static async create(): Promise<LiveAccuracyLab> {
    return new LiveAccuracyLab(await LinuxHost.create({ waitMs: WAIT_MS }));
  }

  /** Runs a program twice, on processes of this kernel: once for each way to answer. */
  measure(ops: readonly Op[], options: LiveAccuracyOptions = {}): LiveAccuracy {
    return {
      standIn: this.#run((machine) => measureAccuracy(machine, ops, { mechanism: "stand-in", ...options })),
      exact: this.#run((machine) => {
        using answers = new ExactAnswers(machine);
        return measureAccuracy(machine, ops, { mechanism: "exact", bits: answers.bits, ...options });
      }),
    };
  }

  #run(measure: (machine: LinuxMachine) => Accuracy): Accuracy {
    const machine = createLinuxMachine(this.#host);
    try {
      return measure(machine);
    } finally {
      machine.close();
    }
  }

  [Symbol.dispose](): void {
    this.#host[Symbol.dispose]();
  }
}

/** An exact detector for each process of a program. */
class ExactAnswers implements Disposable {
  readonly #machine: LinuxMachine;
  readonly #byPid = new Map<number, { readonly target: LinuxTarget; readonly detector: ExactDetector }>();

  constructor(machine: LinuxMachine) {
    this.#machine = machine;
  }

  /** 1 for each page of a mapping that is in swap, with a copy in memory or without. */
  readonly bits = (proc: string, mapping: string): Uint8Array => {
    const place = this.#machine.placeOf(proc, mapping);
    if (place === undefined) throw new Error(`process ${proc} has no mapping ${mapping}`);
    const { target, detector } = this.#of(place.pid);
    const found = target.mappings().find(({ start }) => start === place.address);
    if (found === undefined) throw new Error(`${mapping} of process ${proc} is not in its maps`);
    return detector.scan(found).states.map((flags) => {
      const state = flags & STATE_MASK;
      return state === SWAPPED || state === SWAP_CACHED ? 1 : 0;
    });
  };

  #of(pid: number): { readonly target: LinuxTarget; readonly detector: ExactDetector } {
    const known = this.#byPid.get(pid);
    if (known !== undefined) return known;
    const target = LinuxTarget.open(pid);
    const made = { target, detector: new ExactDetector(target) };
    this.#byPid.set(pid, made);
    return made;
  }

  [Symbol.dispose](): void {
    for (const { target } of this.#byPid.values()) target[Symbol.dispose]();
  }
}
