/** Random operations on a small model with too little memory, each checked against {@link ShadowMapping}s. */

import { PAGE_SIZE } from "../abi/index.ts";
import {
  Kernel,
  type Memfd,
  MemorySwapDevice,
  type Process,
  type ProcessUserfaultfd,
  type SwapArea,
} from "../model/index.ts";
import { ACTIONS } from "./fuzz-actions.ts";
import { DataError, type ShadowMapping, ShadowObject } from "./shadow-memory.ts";

/** An operation: which one, and numbers that choose the rest from what there is. Any numbers make a valid one. */
export type FuzzOp = readonly [kind: number, a: number, b: number, c: number, d: number];

export interface FuzzProcess {
  readonly process: Process;
  readonly mappings: ShadowMapping[];
  userfaultfd: ProcessUserfaultfd | undefined;
}

export interface FuzzObject {
  readonly memfd: Memfd;
  readonly shadow: ShadowObject;
}

export class FuzzWorld {
  readonly kernel: Kernel;
  readonly description: string;
  readonly processes: FuzzProcess[] = [];
  readonly objects: FuzzObject[] = [];
  #areas: SwapArea[] = [];
  #written = 0;
  #addressesUsed = 0;

  /** Two numbers choose kernel, memory and swap. */
  constructor(a: number, b: number) {
    const profile = ["rfc", "linux-6.1", "linux-6.18"][a % 3];
    const memoryPages = 24 + (b % 96);
    const page_cluster = (a >>> 2) % 4;
    const fault_around_bytes = [4096, 16384, 65536][(a >>> 4) % 3];
    this.kernel = new Kernel({ profile, memoryPages, config: { page_cluster, fault_around_bytes } });
    const limitPages = (a >>> 6) % 3 === 0 ? 12 + ((b >>> 8) % 64) : Number.POSITIVE_INFINITY;
    const group = this.kernel.createGroup("fuzz", { limitPages });
    this.description = JSON.stringify({ profile, memoryPages, page_cluster, fault_around_bytes, limitPages });
    this.#addSwap(a >>> 8, b >>> 16);
    if ((a >>> 16) % 2 === 0) this.#addSwap(a >>> 17, b >>> 20);
    this.#addProcess(this.kernel.createProcess({ group }), []);
  }

  #addSwap(a: number, b: number): void {
    this.#areas.push(
      this.kernel.swapon(new MemorySwapDevice({ slots: 8 + (b % 160), synchronous: a % 2 === 0 }), {
        priority: a % 3,
      }),
    );
  }

  #addProcess(process: Process, mappings: ShadowMapping[]): void {
    this.processes.push({ process, mappings, userfaultfd: undefined });
  }

  /** Does one operation and checks its result and all invariants. Returns what it was, for people. */
  apply([kind, a, b, c, d]: FuzzOp): string {
    const [name, action] = ACTIONS[kind % ACTIONS.length];
    const detail = action(this, a, b, c, d);
    this.kernel.checkInvariants();
    return `${name} ${detail}`;
  }

  /** Ends everything; nothing may be left behind. */
  end(): void {
    for (const { process } of this.processes) process.exit();
    for (const { memfd } of this.objects) memfd.close();
    this.kernel.checkInvariants();
    const { frames, anonVmas, pageTables, objects, swap } = this.kernel;
    const left = {
      frames: frames.sizePages - frames.freeCount,
      anonVmas: anonVmas.count,
      pageTables: pageTables.inUse,
      objects: objects.length,
      swapSlots: swap.areas.reduce((sum, area) => sum + area.usedSlots, 0),
    };
    for (const [what, count] of Object.entries(left))
      if (count !== 0) throw new DataError(`${count} ${what} left when all processes and objects are gone`);
  }

  pickProcess(n: number): FuzzProcess {
    return this.processes[n % this.processes.length];
  }

  /** A mapping and a range of its pages; undefined if the process has none. */
  pickRange(a: number, b: number, c: number, d: number) {
    const owner = this.pickProcess(a);
    if (owner.mappings.length === 0) return undefined;
    const mapping = owner.mappings[b % owner.mappings.length];
    const first = c % mapping.pages;
    const pages = 1 + (d % (mapping.pages - first));
    const address = mapping.address + first * PAGE_SIZE;
    const text = `pid ${owner.process.pid} 0x${mapping.address.toString(16)} ${mapping.kind}[${first}+${pages}]`;
    return { ...owner, owner, mapping, first, pages, address, lengthBytes: pages * PAGE_SIZE, text };
  }

  /** Bytes that were never written before. */
  freshBytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    let value = ++this.#written;
    for (let i = 0; i < length; i++) {
      value = (Math.imul(value, 1_664_525) + 1_013_904_223) >>> 0;
      bytes[i] = value >>> 24;
    }
    return bytes;
  }

  /** An address that was never used before. */
  freshAddress(): number {
    return 0x3000_0000_0000 + this.#addressesUsed++ * 64 * PAGE_SIZE;
  }

  addObject(sizeBytes: number): void {
    const memfd = this.kernel.memfdCreate({ sizePages: 0 });
    memfd.ftruncate(sizeBytes);
    this.objects.push({ memfd, shadow: new ShadowObject(sizeBytes) });
  }

  fork(owner: FuzzProcess): void {
    this.#addProcess(
      owner.process.fork(),
      owner.mappings.map((mapping) => mapping.copy()),
    );
  }

  /** Takes a swap area away, or gives one back if there is none. */
  toggleSwap(a: number, b: number): string {
    if (this.#areas.length === 0 || (this.#areas.length === 1 && a % 4 === 0)) {
      this.#addSwap(a >>> 2, b);
      return "on";
    }
    const area = this.#areas[b % this.#areas.length];
    if (!this.kernel.swapoff(area)) return "off: no room";
    this.#areas = this.#areas.filter((other) => other !== area);
    return "off";
  }
}
