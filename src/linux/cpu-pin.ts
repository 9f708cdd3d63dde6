/** Keeps this thread, and the processes it starts meanwhile, on one CPU. Source: sched_setaffinity(2), getcpu(2). */

import { addressOf, SYS, syscall } from "./libc.ts";

/** Bits for 8192 CPUs, the most that Linux has on x86-64. */
const MASK_BYTES = 1024;

export class CpuPin implements Disposable {
  readonly cpu: number;
  readonly #before = new Uint8Array(MASK_BYTES);
  #isHeld = true;

  /** Stays where the thread is now. */
  constructor() {
    syscall("sched_getaffinity", SYS.sched_getaffinity, [0, MASK_BYTES, addressOf(this.#before)]);
    const cpu = new Uint32Array(1);
    syscall("getcpu", SYS.getcpu, [addressOf(cpu), 0, 0]);
    this.cpu = cpu[0];
    const mask = new Uint8Array(MASK_BYTES);
    mask[this.cpu >> 3] = 1 << (this.cpu & 7);
    syscall("sched_setaffinity", SYS.sched_setaffinity, [0, MASK_BYTES, addressOf(mask)]);
  }

  /** The thread may run again wherever it might before. */
  [Symbol.dispose](): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    syscall("sched_setaffinity", SYS.sched_setaffinity, [0, MASK_BYTES, addressOf(this.#before)]);
  }
}
