/** A load or store as a task: the processor tries, faults, and tries again until it succeeds. */

import { Fault } from "./fault.ts";
import type { FaultStage } from "./fault-stage.ts";
import type { Kernel } from "./kernel.ts";
import type { Mm } from "./mm.ts";
import { type AccessError, walk } from "./mmu.ts";

export type AccessStage =
  /** The processor walks the page table. */
  | "walk"
  /** A fault is being handled. */
  | FaultStage;

/** A scheduler steps it; {@link access} of `mmu.ts` is the same without anything between. */
export class Access {
  stage: AccessStage = "walk";
  result: "ok" | AccessError = "ok";
  /** The frame that was reached, once done with "ok". */
  frame = -1;
  /** Faults begun; and whether one of them had to read from swap. */
  faults = 0;
  isMajor = false;
  readonly fault = new Fault();

  constructor(mm: Mm, vpn: number, how: "load" | "store") {
    this.fault.mm = mm;
    this.fault.vpn = vpn;
    this.fault.isWrite = how === "store";
  }

  /** Set by a step that could not go on because a page is locked: step again later. */
  get isBlocked(): boolean {
    return this.fault.isBlocked;
  }

  step(k: Kernel): void {
    if (this.stage === "walk") this.#walk(k);
    else this.#handle(k);
  }

  #walk(k: Kernel): void {
    const { mm, vpn, isWrite } = this.fault;
    this.frame = walk(k, mm, vpn, isWrite);
    if (this.frame >= 0) {
      this.stage = "done";
      return;
    }
    this.faults++;
    k.vmstat.pgfault++;
    this.fault.begin(mm, vpn, isWrite);
    this.stage = this.fault.stage;
  }

  #handle(k: Kernel): void {
    const { fault } = this;
    fault.step(k);
    this.stage = fault.stage;
    if (fault.stage !== "done") return;
    this.isMajor ||= fault.isMajor;
    if (fault.result === "userfault") fault.vma.userfaultfd?.handler(fault.vpn);
    if (fault.result === "ok" || fault.result === "retry" || fault.result === "userfault")
      this.stage = "walk";
    else this.result = fault.result;
  }
}
