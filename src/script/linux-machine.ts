/**
 * Op programs on the running kernel: each process of a program is a real one, driven by remote system calls, and its
 * loads and stores are real instructions. Uses Node, unlike the rest of its room.
 *
 * @packageDocumentation
 */

import { writeFileSync } from "node:fs";
import {
  FaultSignal,
  MADV,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MAX_SWAPFILES_FEWEST,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  UFFD_FEATURE_PAGEFAULT_FLAG_WP,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
} from "../abi/index.ts";
import { type DrivenProcess, SCRATCH_ADDRESS } from "../linux/driven-process.ts";
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, SYS } from "../linux/libc.ts";
import { errnoNameOf, LinuxError } from "../linux/linux-error.ts";
import { PageCacheView } from "../linux/page-cache.ts";
import { PagemapFile } from "../linux/pagemap.ts";
import type { Userfaultfd } from "../linux/userfaultfd.ts";
import { entryText, UNMAPPED } from "./entry.ts";
import type { LinuxHost } from "./linux-host.ts";
import { type Machine, mappingAddress, type Observation, type OpResult } from "./machine.ts";
import type { ObjectRange, Op, OpOf, Protection } from "./op.ts";
import { PAGES_MAX } from "./syntax.ts";

export { LinuxHost } from "./linux-host.ts";

/** What is needed to notice writes without a thread that waits for them. */
const UFFD_FEATURES =
  UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_WP_ASYNC;

interface Mapping {
  readonly address: number;
  readonly pages: number;
}

/** A process of the program: what it has mapped, by name. */
interface ScriptProcess {
  readonly driven: DrivenProcess;
  readonly pagemap: PagemapFile;
  readonly mappings: Map<string, Mapping>;
  userfaultfd: Userfaultfd | undefined;
}

/** An object: its descriptor in the processes, and a mapping of ours that is never touched. */
interface ScriptObject {
  readonly fd: number;
  readonly view: PageCacheView;
}

/** A system call of the program failed: that is a result. */
class OpFailure extends Error {
  readonly errno: string;

  constructor(errno: string) {
    super(errno);
    this.errno = errno;
  }
}

/** A machine with process A. There is one at a time on a host: close it before the next. */
export function createLinuxMachine(host: LinuxHost): LinuxMachine {
  return new LinuxMachine(host);
}

/** Where a mapping of a program is on this machine. */
export interface LinuxPlace {
  readonly pid: number;
  readonly address: number;
}

export class LinuxMachine implements Machine {
  readonly #host: LinuxHost;
  readonly #processes = new Map<string, ScriptProcess>();
  readonly #objects = new Map<string, ScriptObject>();
  #mappingsMade = 0;
  #hasSwap = true;
  #words = new Uint32Array(128);

  constructor(host: LinuxHost) {
    this.#host = host;
    this.#addProcess("A", host.keeper, new Map());
  }

  #addProcess(name: string, parent: DrivenProcess, mappings: Map<string, Mapping>): void {
    const driven = parent.fork();
    const pagemap = PagemapFile.open(driven.pid);
    this.#processes.set(name, { driven, pagemap, mappings, userfaultfd: undefined });
  }

  #process(name: string): ScriptProcess {
    const process = this.#processes.get(name);
    if (process === undefined) throw new Error(`process ${name} does not exist`);
    return process;
  }

  /** The real process behind a name. */
  process(name: string): DrivenProcess {
    return this.#process(name).driven;
  }

  #object(name: string): ScriptObject {
    const object = this.#objects.get(name);
    if (object === undefined) throw new Error(`object ${name} does not exist`);
    return object;
  }

  #nextAddress(): number {
    return mappingAddress(this.#mappingsMade++);
  }

  /** Undefined if there is no such process, or it has no such mapping. */
  placeOf(proc: string, mapping: string): LinuxPlace | undefined {
    const owner = this.#processes.get(proc);
    const address = owner?.mappings.get(mapping)?.address;
    return owner === undefined || address === undefined ? undefined : { pid: owner.driven.pid, address };
  }

  execute(op: Op, step: number): OpResult {
    const values: bigint[] = [];
    try {
      this.#run(op, step, values);
      return { errno: "", values: values.map(Number) };
    } catch (error) {
      if (error instanceof OpFailure) return { errno: error.errno, values: values.map(Number) };
      if (error instanceof FaultSignal) return { errno: error.signal, values: values.map(Number) };
      throw error;
    }
  }

  #run(op: Op, step: number, values: bigint[]): void {
    const { keeper, swap } = this.#host;
    switch (op.kind) {
      case "obj":
        this.#create(op);
        return;
      case "truncate":
        check(keeper.syscall(SYS.ftruncate, this.#object(op.obj).fd, op.pages * PAGE_SIZE));
        return;
      case "punch": {
        const { fd } = this.#object(op.obj);
        const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        check(keeper.syscall(SYS.fallocate, fd, mode, op.first * PAGE_SIZE, op.pages * PAGE_SIZE));
        return;
      }
      case "readfd":
        this.#readThroughFd(op, values);
        return;
      case "writefd":
        this.#writeThroughFd(op, step);
        return;
      case "reclaim":
        this.#host.reclaim();
        return;
      case "swapon":
        orFailure(() => swap.swapon());
        this.#hasSwap = true;
        return;
      case "swapoff":
        this.#swapoff();
        return;
      case "map":
      case "mapcow":
      case "mapanon":
        this.#map(op);
        return;
      case "fork": {
        const parent = this.#process(op.proc);
        this.#addProcess(op.child, parent.driven, new Map(parent.mappings));
        return;
      }
      case "exit":
        this.#process(op.proc).driven.exit();
        this.#removeProcess(op.proc);
        return;
      case "clearrefs":
        writeFileSync(`/proc/${this.#process(op.proc).driven.pid}/clear_refs`, "4");
        return;
      default:
        this.#runOnMapping(op, step, values);
    }
  }

  #swapoff(): void {
    const { swap, otherSwap } = this.#host;
    if (otherSwap.length > 0) {
      const needs = `a machine without other swap (${otherSwap.join(", ")}), where pages would go instead`;
      throw new LinuxError({ call: "swapoff", needs });
    }
    orFailure(() => swap.swapoff());
    this.#hasSwap = false;
  }

  #create(op: OpOf<"obj">): void {
    const { keeper, pidfd } = this.#host;
    const fd = check(keeper.syscall(SYS.memfd_create, keeper.putString(op.obj), 0));
    check(keeper.syscall(SYS.ftruncate, fd, op.pages * PAGE_SIZE));
    const view = PageCacheView.adopt(pidfd.getfd(fd), { name: op.obj, endBytes: PAGES_MAX * PAGE_SIZE });
    this.#objects.set(op.obj, { fd, view });
  }

  #readThroughFd({ obj, first, pages }: ObjectRange, values: bigint[]): void {
    const { keeper } = this.#host;
    const { fd } = this.#object(obj);
    const loaded = new BigUint64Array(keeper.scratch.buffer, 0, 1);
    for (let page = first; page < first + pages; page++) {
      const position = page * PAGE_SIZE;
      if (check(keeper.syscall(SYS.pread64, fd, SCRATCH_ADDRESS, PAGE_SIZE, position)) < PAGE_SIZE) return;
      values.push(loaded[0]);
    }
  }

  #writeThroughFd({ obj, first, pages }: ObjectRange, step: number): void {
    const { keeper } = this.#host;
    const { fd } = this.#object(obj);
    keeper.scratch.fill(0, 0, PAGE_SIZE);
    new BigUint64Array(keeper.scratch.buffer, 0, 1)[0] = BigInt(step);
    for (let page = first; page < first + pages; page++) {
      check(keeper.syscall(SYS.pwrite64, fd, SCRATCH_ADDRESS, PAGE_SIZE, page * PAGE_SIZE));
    }
  }

  #map(op: OpOf<"map" | "mapcow" | "mapanon">): void {
    const { driven, mappings } = this.#process(op.proc);
    const address = this.#nextAddress();
    const file =
      op.kind === "mapanon"
        ? { flags: MAP_ANONYMOUS, fd: -1, offset: 0 }
        : { flags: 0, fd: this.#object(op.obj).fd, offset: op.first * PAGE_SIZE };
    const flags = file.flags | MAP_FIXED | (op.kind === "map" ? MAP_SHARED : MAP_PRIVATE);
    const lengthBytes = op.pages * PAGE_SIZE;
    check(driven.syscall(SYS.mmap, address, lengthBytes, protection(op.prot), flags, file.fd, file.offset));
    mappings.set(op.mapping, { address, pages: op.pages });
  }

  #runOnMapping(op: Extract<Op, { mapping: string }>, step: number, values: bigint[]): void {
    const owner = this.#process(op.proc);
    const { driven, mappings } = owner;
    const mapping = mappings.get(op.mapping);
    if (mapping === undefined) throw new Error(`process ${op.proc} has no mapping ${op.mapping}`);
    if (op.kind === "mremap") {
      const to = this.#nextAddress();
      const length = mapping.pages * PAGE_SIZE;
      const flags = MREMAP_MAYMOVE | MREMAP_FIXED;
      check(driven.syscall(SYS.mremap, mapping.address, length, length, flags, to));
      mappings.delete(op.mapping);
      mappings.set(op.to, { address: to, pages: mapping.pages });
      return;
    }
    if (op.kind === "uffd") {
      owner.userfaultfd ??= createUserfaultfd(driven);
      const { userfaultfd } = owner;
      orFailure(() => userfaultfd.register(mapping.address, mapping.pages * PAGE_SIZE));
      return;
    }
    if (!("first" in op)) return;
    const address = mapping.address + op.first * PAGE_SIZE;
    const lengthBytes = op.pages * PAGE_SIZE;
    switch (op.kind) {
      case "unmap":
        check(driven.syscall(SYS.munmap, address, lengthBytes));
        return;
      case "mprotect":
        check(driven.syscall(SYS.mprotect, address, lengthBytes, protection(op.prot)));
        return;
      case "madvise":
        check(driven.syscall(SYS.madvise, address, lengthBytes, MADV[op.advice]));
        return;
      case "uffdwp": {
        const { userfaultfd } = owner;
        if (userfaultfd === undefined) throw new OpFailure("EBADF");
        const what = op.protect ? "protect" : "resolve";
        orFailure(() => userfaultfd.writeProtect(address, lengthBytes, what));
        return;
      }
      case "read":
        driven.loadPages(address, op.pages, values);
        return;
      case "write":
        driven.storeU64(address, BigInt(step), op.pages);
        return;
    }
  }

  observe(): Observation {
    const procs: Record<string, Record<string, string[]>> = {};
    const mincore: Record<string, Record<string, string>> = {};
    const objs: Record<string, string> = {};
    for (const [name, { driven, pagemap, mappings }] of this.#processes) {
      const entries: Record<string, string[]> = {};
      const digits: Record<string, string> = {};
      for (const [mapping, { address, pages }] of mappings) {
        digits[mapping] = incoreDigits(driven, address, pages);
        entries[mapping] = this.#entries(pagemap, address, digits[mapping]);
      }
      procs[name] = entries;
      mincore[name] = digits;
    }
    for (const [name, { view }] of this.#objects) objs[name] = letters(view);
    return { procs, mincore, objs };
  }

  /** `digits` tell what is mapped. */
  #entries(pagemap: PagemapFile, address: number, digits: string): string[] {
    const pages = digits.length;
    if (this.#words.length < pages * 2) this.#words = new Uint32Array(pages * 2);
    const words = this.#words.subarray(0, pages * 2);
    pagemap.read(address / PAGE_SIZE, words);
    return Array.from(digits, (digit, page) =>
      digit === UNMAPPED ? UNMAPPED : entryText(words[page * 2], words[page * 2 + 1], MAX_SWAPFILES_FEWEST),
    );
  }

  #removeProcess(name: string): void {
    const { driven, pagemap, userfaultfd } = this.#process(name);
    driven[Symbol.dispose]();
    pagemap[Symbol.dispose]();
    userfaultfd?.[Symbol.dispose]();
    this.#processes.delete(name);
  }

  /** The host is then as before, for the next machine. */
  close(): void {
    for (const name of this.#processes.keys()) this.#removeProcess(name);
    for (const { fd, view } of this.#objects.values()) {
      this.#host.keeper.syscall(SYS.close, fd);
      view[Symbol.dispose]();
    }
    this.#objects.clear();
    if (!this.#hasSwap) this.#host.swap.swapon();
    this.#hasSwap = true;
  }
}

function protection(prot: Protection): number {
  return prot === "rw" ? PROT_READ | PROT_WRITE : PROT_READ;
}

/** The result of a system call of the program. */
function check(result: number): number {
  if (result < 0) throw new OpFailure(errnoNameOf(-result));
  return result;
}

/** A call that we make for the program: its failure is the op's. */
function orFailure(call: () => void): void {
  try {
    call();
  } catch (error) {
    if (error instanceof LinuxError && error.code !== "") throw new OpFailure(error.code);
    throw error;
  }
}

function createUserfaultfd(driven: DrivenProcess): Userfaultfd {
  const userfaultfd = driven.createUserfaultfd();
  try {
    userfaultfd.handshake({ required: UFFD_FEATURES });
    return userfaultfd;
  } catch (error) {
    userfaultfd[Symbol.dispose]();
    throw error;
  }
}

/** What mincore says to the process, a digit a page. */
function incoreDigits(driven: DrivenProcess, address: number, pages: number): string {
  const errno = -driven.syscall(SYS.mincore, address, pages * PAGE_SIZE, SCRATCH_ADDRESS);
  if (errno <= 0) {
    let digits = "";
    for (let page = 0; page < pages; page++) digits += driven.scratch[page] & 1;
    return digits;
  }
  if (errnoNameOf(errno) !== "ENOMEM") throw new LinuxError({ code: errnoNameOf(errno), call: "mincore" });
  if (pages === 1) return UNMAPPED;
  const half = pages >> 1; // something in the range is not mapped
  return incoreDigits(driven, address, half) + incoreDigits(driven, address + half * PAGE_SIZE, pages - half);
}

/** Where each page of an object is: resident, swapped out, or nowhere. */
function letters(view: PageCacheView): string {
  const pages = view.stat().sizePages;
  const resident = new Uint8Array(pages);
  view.mincore(0, pages, resident);
  const has: string[] = Array(pages).fill("H");
  view.forEachData(0, pages, (first, count) => has.fill("S", first, first + count));
  return has.map((letter, page) => (resident[page] & 1 ? "R" : letter)).join("");
}
