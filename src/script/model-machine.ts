/** Op programs on the model. */

import { PAGE_SIZE } from "../abi/index.ts";
import {
  Errno,
  FaultSignal,
  Kernel,
  type KernelConfig,
  type Memfd,
  type MemoryGroup,
  MemorySwapDevice,
  type Process,
  type ProcessUserfaultfd,
  type SwapArea,
} from "../model/index.ts";
import { entryText, UNMAPPED } from "./entry.ts";
import { type Machine, mappingAddress, type Observation, type OpResult } from "./machine.ts";
import type { ObjectRange, Op, OpOf, ReclaimInput } from "./op.ts";

const STACK = 0x7fff_f000_0000;

export interface ModelMachineOptions {
  readonly profile: string;
  readonly config?: Partial<KernelConfig>;
  /** Size of memory and of swap; enough for any recorded program unless given. */
  readonly memoryPages?: number;
  readonly swapPages?: number;
}

interface Mapping {
  readonly address: number;
  readonly pages: number;
}

/** A process of the program: what it has mapped, by name. */
interface ScriptProcess {
  readonly process: Process;
  readonly mappings: Map<string, Mapping>;
  userfaultfd: ProcessUserfaultfd | undefined;
}

const OK: OpResult = { errno: "", values: [] };

/** A model with a memory group for all processes and one synchronous swap area, as the recorder has. */
export function createModelMachine(options: ModelMachineOptions): Machine {
  return new ModelMachine(options);
}

class ModelMachine implements Machine {
  readonly #kernel: Kernel;
  readonly #group: MemoryGroup;
  readonly #swapPages: number;
  #swapArea: SwapArea | undefined;
  readonly #processes = new Map<string, ScriptProcess>();
  readonly #objects = new Map<string, Memfd>();
  #mappingsMade = 0;
  #words = new Uint32Array(128);

  constructor(options: ModelMachineOptions) {
    this.#kernel = new Kernel({
      profile: options.profile,
      config: options.config ?? {},
      memoryPages: options.memoryPages ?? 1024,
    });
    this.#group = this.#kernel.createGroup("script");
    this.#swapPages = options.swapPages ?? 1024;
    this.#swapon();
    const process = this.#kernel.createProcess({ group: this.#group });
    // Some calls fail otherwise in a process with nothing mapped above: a real one has its stack there.
    process.mmap({ address: STACK, fixed: true, lengthBytes: PAGE_SIZE, write: true });
    this.#addProcess("A", process, new Map());
  }

  #swapon(): void {
    this.#swapArea = this.#kernel.swapon(new MemorySwapDevice({ slots: this.#swapPages + 1 }));
  }

  #addProcess(name: string, process: Process, mappings: Map<string, Mapping>): void {
    this.#processes.set(name, { process, mappings, userfaultfd: undefined });
  }

  #process(name: string): ScriptProcess {
    const process = this.#processes.get(name);
    if (process === undefined) throw new Error(`process ${name} does not exist`);
    return process;
  }

  #object(name: string): Memfd {
    const object = this.#objects.get(name);
    if (object === undefined) throw new Error(`object ${name} does not exist`);
    return object;
  }

  #nextAddress(): number {
    return mappingAddress(this.#mappingsMade++);
  }

  execute(op: Op, step: number, reclaimed?: ReclaimInput): OpResult {
    const values: number[] = [];
    try {
      this.#run(op, step, values, reclaimed);
      return values.length === 0 ? OK : { errno: "", values };
    } catch (error) {
      if (error instanceof Errno) return { errno: error.code, values };
      if (error instanceof FaultSignal) return { errno: error.signal, values };
      throw error;
    }
  }

  #run(op: Op, step: number, values: number[], reclaimed: ReclaimInput | undefined): void {
    switch (op.kind) {
      case "obj":
        this.#objects.set(op.obj, this.#kernel.memfdCreate({ sizePages: op.pages }));
        return;
      case "truncate":
        this.#object(op.obj).ftruncate(op.pages * PAGE_SIZE);
        return;
      case "punch":
        this.#object(op.obj).punchHole(op.first * PAGE_SIZE, op.pages * PAGE_SIZE);
        return;
      case "readfd":
      case "writefd":
        this.#transfer({ ...op, kind: op.kind }, step, values);
        return;
      case "reclaim":
        if (reclaimed === undefined) this.#kernel.reclaimAll(this.#group);
        else this.#kernel.reclaimPages(this.#framesOf(reclaimed));
        return;
      case "swapon":
        if (this.#swapArea !== undefined) throw new Errno("EBUSY", "swapon");
        this.#swapon();
        return;
      case "swapoff":
        if (this.#swapArea === undefined) throw new Errno("EINVAL", "swapoff");
        if (!this.#kernel.swapoff(this.#swapArea)) throw new Errno("ENOMEM", "swapoff");
        this.#swapArea = undefined;
        return;
      case "map":
      case "mapcow":
      case "mapanon":
        this.#map(op);
        return;
      case "fork": {
        const parent = this.#process(op.proc);
        this.#addProcess(op.child, parent.process.fork(), new Map(parent.mappings));
        return;
      }
      case "exit":
        this.#process(op.proc).process.exit();
        this.#processes.delete(op.proc);
        return;
      case "clearrefs":
        this.#process(op.proc).process.clearRefs();
        return;
      default:
        this.#runOnMapping(op, step, values);
    }
  }

  #transfer(op: ObjectRange & { readonly kind: "readfd" | "writefd" }, step: number, values: number[]): void {
    const object = this.#object(op.obj);
    const page = new BigUint64Array(PAGE_SIZE / 8);
    const bytes = new Uint8Array(page.buffer);
    for (let i = op.first; i < op.first + op.pages; i++) {
      if (op.kind === "readfd") {
        if (object.pread(bytes, i * PAGE_SIZE, this.#group) < PAGE_SIZE) return;
        values.push(Number(page[0]));
      } else {
        page[0] = BigInt(step);
        object.pwrite(bytes, i * PAGE_SIZE, this.#group);
      }
    }
  }

  #map(op: OpOf<"map" | "mapcow" | "mapanon">): void {
    const { process, mappings } = this.#process(op.proc);
    const address = this.#nextAddress();
    const file =
      op.kind === "mapanon" ? {} : { object: this.#object(op.obj), offsetBytes: op.first * PAGE_SIZE };
    process.mmap({
      ...file,
      address,
      fixed: true,
      lengthBytes: op.pages * PAGE_SIZE,
      shared: op.kind === "map",
      write: op.prot === "rw",
    });
    mappings.set(op.mapping, { address, pages: op.pages });
  }

  #runOnMapping(op: Extract<Op, { mapping: string }>, step: number, values: number[]): void {
    const owner = this.#process(op.proc);
    const { process, mappings } = owner;
    const mapping = mappings.get(op.mapping);
    if (mapping === undefined) throw new Error(`process ${op.proc} has no mapping ${op.mapping}`);
    if (op.kind === "mremap") {
      const to = this.#nextAddress();
      const lengthBytes = mapping.pages * PAGE_SIZE;
      const { address } = mapping;
      process.mremap({ address, oldLengthBytes: lengthBytes, newLengthBytes: lengthBytes, to });
      mappings.delete(op.mapping);
      mappings.set(op.to, { address: to, pages: mapping.pages });
      return;
    }
    if (op.kind === "uffd") {
      owner.userfaultfd ??= process.userfaultfd();
      owner.userfaultfd.register(mapping.address, mapping.pages * PAGE_SIZE);
      return;
    }
    if (!("first" in op)) return;
    const address = mapping.address + op.first * PAGE_SIZE;
    const lengthBytes = op.pages * PAGE_SIZE;
    switch (op.kind) {
      case "unmap":
        process.munmap(address, lengthBytes);
        return;
      case "mprotect":
        process.mprotect(address, lengthBytes, { write: op.prot === "rw" });
        return;
      case "madvise":
        process.madvise(address, lengthBytes, op.advice);
        return;
      case "uffdwp":
        if (owner.userfaultfd === undefined) throw new Errno("EBADF", "ioctl");
        if (op.protect) owner.userfaultfd.protect(address, lengthBytes);
        else owner.userfaultfd.resolve(address, lengthBytes);
        return;
      case "read":
        for (let at = address; at < address + lengthBytes; at += PAGE_SIZE)
          values.push(Number(process.loadU64(at)));
        return;
      case "write":
        for (let at = address; at < address + lengthBytes; at += PAGE_SIZE)
          process.storeU64(at, BigInt(step));
        return;
    }
  }

  /** The frames of the pages that a recorded reclaim took. */
  #framesOf({ objs, mapped }: ReclaimInput): number[] {
    const frames = new Set<number>();
    for (const [name, pages] of Object.entries(objs))
      for (const page of pages) frames.add(this.#object(name).frameAt(page));
    for (const { proc, mapping, page } of mapped) {
      const { process, mappings } = this.#process(proc);
      const { address } = mappings.get(mapping) as Mapping;
      frames.add(process.frameAt(address + page * PAGE_SIZE));
    }
    frames.delete(-1);
    return [...frames];
  }

  observe(): Observation {
    const procs: Record<string, Record<string, string[]>> = {};
    const mincore: Record<string, Record<string, string>> = {};
    const objs: Record<string, string> = {};
    for (const [name, { process, mappings }] of this.#processes) {
      const entries: Record<string, string[]> = {};
      const digits: Record<string, string> = {};
      for (const [mapping, place] of mappings) {
        entries[mapping] = this.#entries(process, place);
        digits[mapping] = this.#digits(process, place);
      }
      procs[name] = entries;
      mincore[name] = digits;
    }
    for (const [name, object] of this.#objects) objs[name] = letters(object);
    return { procs, mincore, objs };
  }

  #entries(process: Process, { address, pages }: Mapping): string[] {
    if (this.#words.length < pages * 2) this.#words = new Uint32Array(pages * 2);
    const words = this.#words;
    process.pagemap.pread(new Uint8Array(words.buffer, 0, pages * 8), (address / PAGE_SIZE) * 8);
    const { areasMax } = this.#kernel.swap;
    const entries: string[] = [];
    let mappedEnd = 0;
    for (let page = 0; page < pages; page++) {
      const at = address + page * PAGE_SIZE;
      if (at >= mappedEnd) mappedEnd = process.mappedEnd(at);
      const [lo, hi] = [words[page * 2], words[page * 2 + 1]];
      entries.push(at < mappedEnd ? entryText(lo, hi, areasMax) : UNMAPPED);
    }
    return entries;
  }

  #digits(process: Process, { address, pages }: Mapping): string {
    let digits = "";
    const end = address + pages * PAGE_SIZE;
    for (let at = address; at < end; ) {
      const mappedEnd = Math.min(end, process.mappedEnd(at));
      if (mappedEnd <= at) {
        digits += UNMAPPED;
        at += PAGE_SIZE;
        continue;
      }
      for (const isResident of process.mincore(at, mappedEnd - at)) digits += isResident;
      at = mappedEnd;
    }
    return digits;
  }

  close(): void {
    // Nothing outside: the kernel goes with the machine.
  }
}

const LETTERS = { cached: "R", "swap-cached": "R", swapped: "S", reserved: "H", hole: "H" } as const;

function letters(object: Memfd): string {
  let text = "";
  const pages = Math.ceil(object.sizeBytes / PAGE_SIZE);
  for (let page = 0; page < pages; page++) text += LETTERS[object.pageState(page)];
  return text;
}
