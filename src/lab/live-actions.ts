/** Random things that processes do to shared memory on the running kernel, each recorded. */

import { ftruncateSync } from "node:fs";
import { FaultSignal, MADV, MREMAP_FIXED, MREMAP_MAYMOVE, PAGE_SIZE } from "../abi/index.ts";
import { MADV_GUARD_INSTALL } from "../abi/mman.ts";
import { SCRATCH_ADDRESS } from "../linux/driven-process.ts";
import { drainLruBatches, LinuxError, processMadvise } from "../linux/index.ts";
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate, SYS } from "../linux/libc.ts";
import { type LiveArea, type LiveObject, type LiveProcess, type LiveWorld, must } from "./live-world.ts";
import type { Random } from "./random.ts";

const PROCESSES_MAX = 3;
const AREAS_MAX = 9;

/** Does something, as chance has it. Returns what it was, for people; undefined if there was nothing to do. */
type Action = (world: LiveWorld, random: Random) => string | undefined;

interface Range {
  readonly process: LiveProcess;
  readonly area: LiveArea;
  readonly first: number;
  readonly pages: number;
  readonly text: string;
}

function pick<T>(random: Random, list: readonly T[]): T {
  return list[random.below(list.length)];
}

/** Short ranges mostly, long ones sometimes. */
function pickSpan(random: Random, length: number): { readonly first: number; readonly pages: number } {
  const first = random.below(length);
  const longest = random.below(3) === 0 ? length - first : Math.min(8, length - first);
  return { first, pages: 1 + random.below(longest) };
}

function pickRange(
  { processes }: LiveWorld,
  random: Random,
  isFit: (area: LiveArea) => boolean = () => true,
): Range | undefined {
  const process = pick(random, processes);
  const areas = process.areas.filter(isFit);
  if (areas.length === 0) return undefined;
  const area = pick(random, areas);
  const { first, pages } = pickSpan(random, area.pages);
  const what = area.object === undefined ? "anonymous" : `${area.kind} ${area.object.name}`;
  return {
    process,
    area,
    first,
    pages,
    text: `${process.pid} 0x${area.address.toString(16)} (${what})[${first}+${pages}]`,
  };
}

function pickObject({ objects }: LiveWorld, random: Random): LiveObject {
  return pick(random, objects);
}

/** Stores to pages one by one, up to the first that there is not (any more). */
function write(world: LiveWorld, random: Random): string | undefined {
  const range = pickRange(world, random, ({ hasGuards }) => !hasGuards);
  if (range === undefined) return undefined;
  const { process, area, first, pages, text } = range;
  for (let page = first; page < first + pages; page++) {
    const value = world.freshValue();
    try {
      process.driven.storeU64(area.address + page * PAGE_SIZE, value);
    } catch (error) {
      if (error instanceof FaultSignal) return `write ${text}: ${error.signal}`;
      throw error;
    }
    if (area.kind === "shared" && area.object !== undefined)
      area.object.contents.set(area.firstPage + page, value);
    else area.own.set(page, value);
  }
  return `write ${text}`;
}

function read(world: LiveWorld, random: Random): string | undefined {
  const range = pickRange(world, random, ({ hasGuards }) => !hasGuards);
  if (range === undefined) return undefined;
  const { process, area, first, pages, text } = range;
  try {
    process.driven.loadPages(area.address + first * PAGE_SIZE, pages, []);
  } catch (error) {
    if (!(error instanceof FaultSignal)) throw error;
  }
  return `read ${text}`;
}

/** MADV_PAGEOUT, which takes pages of one mapper only. */
function pageOut(world: LiveWorld, random: Random): string | undefined {
  const range = pickRange(world, random);
  if (range === undefined) return undefined;
  const { process, area, first, pages, text } = range;
  drainLruBatches();
  world.madvise(process, area, first, pages, MADV.PAGEOUT);
  return `pageout ${text}`;
}

/** The same from outside. */
function pageOutRemotely(world: LiveWorld, random: Random): string | undefined {
  const range = pickRange(world, random);
  if (range === undefined) return undefined;
  const { process, area, first, pages, text } = range;
  drainLruBatches();
  const start = area.address + first * PAGE_SIZE;
  processMadvise(process.pidfd, [{ start, end: start + pages * PAGE_SIZE }], "PAGEOUT");
  return `process_madvise ${text}`;
}

function willneed(world: LiveWorld, random: Random): string | undefined {
  const range = pickRange(world, random);
  if (range === undefined) return undefined;
  world.madvise(range.process, range.area, range.first, range.pages, MADV.WILLNEED);
  return `willneed ${range.text}`;
}

/** Private pages are gone, shared ones only unmapped. */
function dontneed(world: LiveWorld, random: Random): string | undefined {
  const range = pickRange(world, random);
  if (range === undefined) return undefined;
  const { process, area, first, pages, text } = range;
  must("madvise DONTNEED", world.madvise(process, area, first, pages, MADV.DONTNEED));
  for (let page = first; page < first + pages; page++) area.own.delete(page);
  return `dontneed ${text}`;
}

function remove(world: LiveWorld, random: Random): string | undefined {
  const range = pickRange(world, random, ({ kind, object }) => kind === "shared" && object !== undefined);
  if (range?.area.object === undefined) return undefined;
  const { process, area, first, pages, text } = range;
  splitHugePages(world, range.area.object, area.firstPage + first, area.firstPage + first + pages);
  must("madvise REMOVE", world.madvise(process, area, first, pages, MADV.REMOVE));
  range.area.object.forget(area.firstPage + first, area.firstPage + first + pages);
  return `remove ${text}`;
}

/**
 * Splits a huge page that is in swap at the bounds of what is to be removed, by reading there. Where a removal begins
 * within one, 6.18 never comes to an end of it (`shmem_undo_range`), and nothing can kill the process.
 */
function splitHugePages(
  { host: { keeper } }: LiveWorld,
  object: LiveObject,
  first: number,
  end: number,
): void {
  if (!object.isHuge) return;
  for (const page of [first, end])
    must("pread", keeper.syscall(SYS.pread64, object.fd, SCRATCH_ADDRESS, PAGE_SIZE, page * PAGE_SIZE));
}

function punch(world: LiveWorld, random: Random): string {
  const object = pickObject(world, random);
  const { first, pages } = pickSpan(random, object.truth.pagesMax);
  const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  splitHugePages(world, object, first, first + pages);
  fallocate(object.truth.fd, mode, first * PAGE_SIZE, pages * PAGE_SIZE);
  object.forget(first, first + pages);
  return `punch ${object.name}[${first}+${pages}]`;
}

function allocate(world: LiveWorld, random: Random): string {
  const { keeper } = world.host;
  const object = pickObject(world, random);
  const { first, pages } = pickSpan(random, object.truth.pagesMax);
  must("fallocate", keeper.syscall(SYS.fallocate, object.fd, 0, first * PAGE_SIZE, pages * PAGE_SIZE));
  object.sizePages = Math.max(object.sizePages, first + pages);
  return `fallocate ${object.name}[${first}+${pages}]`;
}

/** To less, mostly, and back to its full size. */
function truncate(world: LiveWorld, random: Random): string {
  const object = pickObject(world, random);
  const full = object.truth.pagesMax;
  const sizePages = object.sizePages < full ? full : random.below(full);
  splitHugePages(world, object, sizePages, sizePages);
  ftruncateSync(object.truth.fd, sizePages * PAGE_SIZE);
  object.sizePages = sizePages;
  object.forget(sizePages, Number.POSITIVE_INFINITY);
  world.truncated(object);
  return `truncate ${object.name} to ${sizePages}`;
}

function readDescriptor(world: LiveWorld, random: Random): string {
  const { keeper } = world.host;
  const object = pickObject(world, random);
  const { first, pages } = pickSpan(random, object.truth.pagesMax);
  for (let page = first; page < first + pages; page++)
    must("pread", keeper.syscall(SYS.pread64, object.fd, SCRATCH_ADDRESS, PAGE_SIZE, page * PAGE_SIZE));
  return `read descriptor ${object.name}[${first}+${pages}]`;
}

function writeDescriptor(world: LiveWorld, random: Random): string {
  const { keeper } = world.host;
  const object = pickObject(world, random);
  const { first, pages } = pickSpan(random, object.truth.pagesMax);
  keeper.scratch.fill(0, 0, PAGE_SIZE);
  for (let page = first; page < first + pages; page++) {
    const value = world.freshValue();
    new BigUint64Array(keeper.scratch.buffer, 0, 1)[0] = value;
    must("pwrite", keeper.syscall(SYS.pwrite64, object.fd, SCRATCH_ADDRESS, PAGE_SIZE, page * PAGE_SIZE));
    object.contents.set(page, value);
    object.sizePages = Math.max(object.sizePages, page + 1);
  }
  return `write descriptor ${object.name}[${first}+${pages}]`;
}

function move(world: LiveWorld, random: Random): string | undefined {
  const process = pick(random, world.processes);
  if (process.areas.length === 0) return undefined;
  const area = pick(random, process.areas);
  const length = area.pages * PAGE_SIZE;
  const to = world.nextAddress();
  const flags = MREMAP_MAYMOVE | MREMAP_FIXED;
  must("mremap", process.driven.syscall(SYS.mremap, area.address, length, length, flags, to));
  area.address = to;
  return `mremap in ${process.pid} to 0x${to.toString(16)}`;
}

/** Maps a part of an object once more, or anonymous memory. */
function mapMore(world: LiveWorld, random: Random): string | undefined {
  const process = pick(random, world.processes);
  if (process.areas.length >= AREAS_MAX) return undefined;
  if (random.below(4) === 0) {
    const area = world.map(process, { kind: "anon", pages: 1 + random.below(40) });
    return `map anonymous[${area.pages}] in ${process.pid}`;
  }
  const object = pickObject(world, random);
  const { first: firstPage, pages } = pickSpan(random, object.truth.pagesMax);
  const kind = random.below(3) === 0 ? "private" : "shared";
  world.map(process, { kind, object, firstPage, pages });
  return `map ${kind} ${object.name}[${firstPage}+${pages}] in ${process.pid}`;
}

function unmap(world: LiveWorld, random: Random): string | undefined {
  const process = pick(random, world.processes);
  if (process.areas.length < 3) return undefined;
  const [area] = process.areas.splice(random.below(process.areas.length), 1);
  must("munmap", process.driven.syscall(SYS.munmap, area.address, area.pages * PAGE_SIZE));
  return `unmap 0x${area.address.toString(16)} in ${process.pid}`;
}

function fork(world: LiveWorld, random: Random): string | undefined {
  if (world.processes.length >= PROCESSES_MAX) return undefined;
  const parent = pick(random, world.processes);
  return `fork ${parent.pid}: ${world.fork(parent).pid}`;
}

function exit(world: LiveWorld, random: Random): string | undefined {
  if (world.processes.length === 1) return undefined;
  const process = world.processes[1 + random.below(world.processes.length - 1)];
  world.exit(process);
  return `exit ${process.pid}`;
}

function reclaim({ host }: LiveWorld): string {
  host.reclaim();
  return "reclaim";
}

/** Brings everything back. */
function swapOffAndOn({ host }: LiveWorld): string {
  try {
    host.swap.swapoff();
  } catch (error) {
    if (error instanceof LinuxError && error.code === "ENOMEM") return "swapoff: ENOMEM";
    throw error;
  }
  host.swap.swapon();
  return "swapoff, swapon";
}

/** Guard regions, in memory that is never armed: they and write-protection don't get on (6.18). */
function guard(world: LiveWorld, random: Random): string | undefined {
  const range = pickRange(world, random, ({ kind }) => kind === "anon");
  if (range === undefined) return undefined;
  const { process, area, first, text } = range;
  if (world.madvise(process, area, first, 1, MADV_GUARD_INSTALL) < 0) return undefined; // not in this kernel
  area.hasGuards = true;
  area.own.delete(first);
  return `guard ${text}`;
}

/** How often each comes up. */
export const ACTIONS: readonly (readonly [number, Action])[] = [
  [20, write],
  [10, read],
  [16, pageOut],
  [4, pageOutRemotely],
  [8, reclaim],
  [4, willneed],
  [4, dontneed],
  [4, remove],
  [4, punch],
  [3, allocate],
  [2, truncate],
  [5, readDescriptor],
  [4, writeDescriptor],
  [2, move],
  [3, mapMore],
  [1, unmap],
  [2, fork],
  [1, exit],
  [1, swapOffAndOn],
  [1, guard],
];

const WEIGHTS = ACTIONS.reduce((sum, [weight]) => sum + weight, 0);

/** Does one thing. */
export function act(world: LiveWorld, random: Random): string {
  for (;;) {
    let at = random.below(WEIGHTS);
    for (const [weight, action] of ACTIONS) {
      at -= weight;
      if (at >= 0) continue;
      const done = action(world, random);
      if (done !== undefined) return done;
      break;
    }
  }
}
