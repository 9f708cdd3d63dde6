/**
 * Processes of our own on the running kernel that do random things to shared memory, with a record of what they wrote.
 * Needs swap and a memory cgroup around it (`live-host.ts`).
 */

import { ftruncateSync } from "node:fs";
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
} from "../abi/index.ts";
import { type DrivenProcess, Pidfd } from "../linux/index.ts";
import { SYS } from "../linux/libc.ts";
import { errnoNameOf } from "../linux/linux-error.ts";
import type { LiveHost } from "./live-host.ts";
import { ObjectTruth, PageTableTruth, type TruePageState } from "./page-truth.ts";

/** What is mapped, and how. */
export type AreaKind = "shared" | "private" | "anon";

export class LiveObject {
  readonly name: string;
  /** The descriptor that all processes share; -1 for shared anonymous memory. */
  readonly fd: number;
  readonly truth: ObjectTruth;
  sizePages: number;
  /** Whether it may have huge pages. */
  isHuge = false;
  /** What was written last to each page that has content. */
  readonly contents = new Map<number, bigint>();

  constructor(name: string, fd: number, truth: ObjectTruth) {
    this.name = name;
    this.fd = fd;
    this.truth = truth;
    this.sizePages = truth.pagesMax;
  }

  /** Pages that were removed, or are zero for another reason. */
  forget(first: number, end: number): void {
    for (const page of this.contents.keys()) if (page >= first && page < end) this.contents.delete(page);
  }
}

export interface LiveArea {
  address: number;
  readonly pages: number;
  readonly kind: AreaKind;
  readonly object: LiveObject | undefined;
  readonly firstPage: number;
  /** The process's own pages: what was written last. */
  readonly own: Map<number, bigint>;
  hasGuards: boolean;
}

export class LiveProcess implements Disposable {
  readonly driven: DrivenProcess;
  readonly areas: LiveArea[];
  readonly pageTable: PageTableTruth;
  readonly pidfd: Pidfd;

  constructor(driven: DrivenProcess, areas: LiveArea[]) {
    this.driven = driven;
    this.areas = areas;
    this.pageTable = new PageTableTruth(driven.pid);
    this.pidfd = Pidfd.open(driven.pid);
  }

  get pid(): number {
    return this.driven.pid;
  }

  /** Where an area's page is. */
  truthOf({ address, kind, object, firstPage }: LiveArea, page: number): TruePageState {
    const entry = this.pageTable.entryOf(address + page * PAGE_SIZE);
    if (entry === "present") return "present";
    if (entry === "swap entry" && kind !== "shared") return "swapped";
    return object === undefined ? "hole" : object.truth.stateOf(firstPage + page);
  }

  fork(): LiveProcess {
    const areas = this.areas.map((area) => ({ ...area, own: new Map(area.own) }));
    return new LiveProcess(this.driven.fork(), areas);
  }

  /** The process ends. */
  [Symbol.dispose](): void {
    this.pageTable[Symbol.dispose]();
    this.pidfd[Symbol.dispose]();
    this.driven[Symbol.dispose]();
  }
}

/** A system call of a process of the world failed that mustn't. */
export class LiveWorldError extends Error {
  override readonly name = "LiveWorldError";
}

export function must(what: string, result: number): number {
  if (result < 0) throw new LiveWorldError(`${what}: ${errnoNameOf(-result)}`);
  return result;
}

/** Mappings are that far apart, at multiples of the size of a huge page. */
const MAPPING_DISTANCE = 64 << 20;
const FIRST_MAPPING = 0x1000_0000_0000;

export class LiveWorld implements Disposable {
  readonly host: LiveHost;
  readonly processes: LiveProcess[] = [];
  readonly objects: LiveObject[] = [];
  #mappings = 0;
  #written = 0n;

  constructor(host: LiveHost) {
    this.host = host;
    this.processes.push(new LiveProcess(host.keeper.fork(), []));
  }

  nextAddress(): number {
    return FIRST_MAPPING + this.#mappings++ * MAPPING_DISTANCE;
  }

  /** A number never written before. */
  freshValue(): bigint {
    return ++this.#written;
  }

  addObject(name: string, pages: number): LiveObject {
    const { keeper, pidfd } = this.host;
    const fd = must("memfd_create", keeper.syscall(SYS.memfd_create, keeper.putString(name), 0));
    const ours = pidfd.getfd(fd);
    ftruncateSync(ours, pages * PAGE_SIZE);
    const object = new LiveObject(name, fd, new ObjectTruth(ours, pages));
    this.objects.push(object);
    return object;
  }

  /** Maps pages of an object, or anonymous memory. */
  map(
    process: LiveProcess,
    {
      kind,
      object,
      firstPage = 0,
      pages,
    }: {
      readonly kind: AreaKind;
      readonly object?: LiveObject;
      readonly firstPage?: number;
      readonly pages: number;
    },
  ): LiveArea {
    const address = this.nextAddress();
    const type = kind === "shared" ? MAP_SHARED : MAP_PRIVATE;
    const flags = MAP_FIXED | type | (object === undefined ? MAP_ANONYMOUS : 0);
    must(
      "mmap",
      process.driven.syscall(
        SYS.mmap,
        address,
        pages * PAGE_SIZE,
        PROT_READ | PROT_WRITE,
        flags,
        object?.fd ?? -1,
        firstPage * PAGE_SIZE,
      ),
    );
    const area = { address, pages, kind, object, firstPage, own: new Map(), hasGuards: false };
    process.areas.push(area);
    return area;
  }

  fork(parent: LiveProcess): LiveProcess {
    const child = parent.fork();
    this.processes.push(child);
    return child;
  }

  exit(process: LiveProcess): void {
    this.processes.splice(this.processes.indexOf(process), 1);
    process[Symbol.dispose]();
  }

  madvise(process: LiveProcess, area: LiveArea, first: number, pages: number, advice: number): number {
    return process.driven.syscall(SYS.madvise, area.address + first * PAGE_SIZE, pages * PAGE_SIZE, advice);
  }

  /** What a load of an area's page must give; undefined where it must be a SIGBUS. */
  expected({ own, object, firstPage }: LiveArea, page: number): bigint | undefined {
    const value = own.get(page);
    if (value !== undefined) return value;
    if (object === undefined) return 0n;
    return firstPage + page < object.sizePages ? (object.contents.get(firstPage + page) ?? 0n) : undefined;
  }

  /** Removes from private areas what a truncation takes with it: copies of pages beyond the new end. */
  truncated(object: LiveObject): void {
    for (const { areas } of this.processes)
      for (const area of areas)
        if (area.object === object)
          for (const page of area.own.keys())
            if (area.firstPage + page >= object.sizePages) area.own.delete(page);
  }

  [Symbol.dispose](): void {
    for (const process of this.processes.splice(0)) process[Symbol.dispose]();
    for (const object of this.objects.splice(0)) {
      object.truth[Symbol.dispose]();
      this.host.keeper.syscall(SYS.close, object.fd);
    }
  }
}
