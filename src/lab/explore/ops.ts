/** The operations that an exploration chooses from, on a {@link World}. */

import type { Process } from "../../model/index.ts";
import { madvise } from "../../model/madvise.ts";
import { access } from "../../model/mmu.ts";
import { BLOCKED, PageLockedError } from "../../model/page-lock.ts";
import { punchHole, readObject, writeObject } from "../../model/shmem.ts";
import type { OpKind } from "./scope.ts";
import { BASE, WHY, type World } from "./world.ts";

const PAGE_SIZE = 4096;

export interface ExploreOp {
  readonly kind: OpKind;
  /** The process that does it, by place; -1 for those that no process does. */
  readonly place: number;
  /** The page; -1 for those on all. */
  readonly page: number;
}

const BY_PROCESS: readonly OpKind[] = ["read", "write", "pageout", "dontneed", "willneed", "fork", "exit"];
const ON_ALL_PAGES: readonly OpKind[] = ["fork", "exit", "reclaim", "swapoff", "swapon"];

/** All there are, in the order of the kinds given. */
export function allOps(kinds: readonly OpKind[], processes: number, pages: number): ExploreOp[] {
  return kinds.flatMap((kind) => {
    const places = BY_PROCESS.includes(kind) ? range(processes) : [-1];
    const on = ON_ALL_PAGES.includes(kind) ? [-1] : range(pages);
    return places.flatMap((place) => on.map((page) => ({ kind, place, page })));
  });
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** What an operation came to: done, not possible here, or wrong. */
export type OpOutcome = "done" | "impossible" | "wrong data" | "signal" | "error";

const buffer = new Uint8Array(4);
const bufferWord = new Uint32Array(buffer.buffer);

/** Does one. Throws an EndlessFaultError, or a PageLockedError if a task must go on first. */
export function perform(world: World, op: ExploreOp): OpOutcome {
  const { kernel, object, group } = world;
  const process = op.place < 0 ? undefined : world.processes[op.place];
  if (op.place >= 0 && process === undefined) return "impossible";
  const position = op.page * PAGE_SIZE;
  switch (op.kind) {
    case "read":
    case "write": {
      const isWrite = op.kind === "write";
      const frame = access(kernel, (process as Process).mm, BASE + op.page, isWrite);
      return frame < 0 ? "signal" : reach(world, op.page, frame, isWrite);
    }
    case "pageout":
      return advise(world, process as Process, op.page, "PAGEOUT");
    case "dontneed":
      return advise(world, process as Process, op.page, "DONTNEED");
    case "willneed":
      return advise(world, process as Process, op.page, "WILLNEED");
    case "fork":
      return fork(world, process as Process);
    case "exit":
      return exit(world, op.place, process as Process);
    case "punch":
      if (settled(op, punchHole(kernel, object, position, PAGE_SIZE)) !== 0) return "error";
      world.expected[op.page] = 0;
      return "done";
    case "readfd":
      if (settled(op, readObject(kernel, object, buffer, position, group)) !== buffer.length) return "error";
      return bufferWord[0] === world.expected[op.page] ? "done" : "wrong data";
    case "writefd":
      bufferWord[0] = nextValue(world, op.page);
      if (settled(op, writeObject(kernel, object, buffer, position, group)) !== buffer.length) return "error";
      world.expected[op.page] = bufferWord[0];
      return "done";
    case "reclaim":
      kernel.reclaimAll();
      return "done";
    case "swapoff":
      if (world.area === undefined) return "impossible";
      if (!kernel.swapoff(world.area)) return "error";
      world.area = undefined;
      return "done";
    case "swapon":
      if (world.area !== undefined) return "impossible";
      world.swapon();
      return "done";
  }
}

/** The result of a call that did not have to wait. */
function settled(op: ExploreOp, result: number): number {
  if (result === BLOCKED) throw new PageLockedError(op.kind);
  return result;
}

/** A load or store has reached its frame: the value is there, or is put there. */
export function reach(world: World, page: number, frame: number, isWrite: boolean): OpOutcome {
  if (world.words[frame] !== world.expected[page]) return "wrong data";
  if (isWrite) {
    world.expected[page] = nextValue(world, page);
    world.words[frame] = world.expected[page];
  }
  return "done";
}

/** Another value than the page has: values are told apart, and no more. */
function nextValue(world: World, page: number): number {
  return world.expected[page] + 0x100;
}

function advise(
  world: World,
  process: Process,
  page: number,
  advice: "PAGEOUT" | "DONTNEED" | "WILLNEED",
): OpOutcome {
  const vpn = BASE + page;
  return madvise(world.kernel, process.mm, vpn, vpn + 1, advice) === 0 ? "done" : "error";
}

function fork(world: World, process: Process): OpOutcome {
  const place = world.processes.indexOf(undefined);
  if (place < 0 || world.isFaulting(process)) return "impossible";
  world.processes[place] = process.fork();
  const { pages } = world.scope;
  const i = world.pteOffset(process, 0);
  const chunk = i < 0 ? undefined : world.chunkOf(process);
  for (let page = 0; page < pages; page++) {
    const isNone = chunk === undefined || (chunk[i + page * 2] | chunk[i + page * 2 + 1]) === 0;
    world.why[place * pages + page] = isNone ? WHY.NEVER : WHY.FORKED;
  }
  return "done";
}

/** The last process stays: without any there is nothing to be seen. */
function exit(world: World, place: number, process: Process): OpOutcome {
  const others = world.processes.some((other) => other !== undefined && other !== process);
  if (!others || world.tasks.some((task) => "fault" in task && task.fault.mm === process.mm))
    return "impossible";
  process.exit();
  world.processes[place] = undefined;
  return "done";
}
