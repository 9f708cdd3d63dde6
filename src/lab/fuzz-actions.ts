/** The operations that the fuzzer knows: each does something to the model, and to the shadow what must come of it. */

import { PAGE_SIZE } from "../abi/index.ts";
import { Errno, FaultSignal, interleave, type Kernel, type Process, type Task } from "../model/index.ts";
import type { FuzzWorld } from "./fuzz-world.ts";
import { DataError, ShadowMapping, ShadowObject, ZEROS } from "./shadow-memory.ts";

const PROCESSES_MAX = 4;
const MAPPINGS_MAX = 6;
const OBJECTS_MAX = 4;
const PAGES_MAX = 24;

/** Does an operation, as four numbers choose. Returns what it was, for people. */
type Action = (world: FuzzWorld, a: number, b: number, c: number, d: number) => string;

/** Runs a system call; the error's code, or "". An error that isn't among `allowed` is not caught. */
function attempt(allowed: readonly string[], call: () => void): string {
  try {
    call();
    return "";
  } catch (error) {
    if (error instanceof Errno && allowed.includes(error.code)) return error.code;
    throw error;
  }
}

/** Runs a load or store of one page; what it ended in, "" if it succeeded. */
function accessPage(call: () => void): string {
  try {
    call();
    return "";
  } catch (error) {
    if (error instanceof FaultSignal) return error.signal;
    if (error instanceof Errno && error.code === "ENOMEM") return "ENOMEM";
    throw error;
  }
}

function mustBe(what: string, shown: string, expected: string | undefined): void {
  if (shown !== "ENOMEM" && shown !== (expected ?? ""))
    throw new DataError(`${what}: ended in "${shown}", must end in "${expected ?? ""}"`);
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return a.length === b.length;
}

function mustRead(what: string, data: Uint8Array, expected: Uint8Array): void {
  if (isSame(data, expected)) return;
  const at = data.findIndex((byte, i) => byte !== expected[i]);
  throw new DataError(`${what}: byte ${at} is ${data[at]}, ${expected[at]} was last written`);
}

/** An mremap that failed half-way has moved pages to `to`: they are given up, so that the mapping stays one. */
function dropMoved(process: Process, mapping: ShadowMapping, to: number): void {
  for (let page = 0; page < mapping.pages; page++) {
    const at = to + page * PAGE_SIZE;
    if (process.mappedEnd(at) > at) mapping.unmap(page, 1);
  }
  process.munmap(to, mapping.pages * PAGE_SIZE);
}

/** Reads a page and compares it with the shadow's; settles what MADV_FREE left open. */
function checkPage(what: string, process: Process, mapping: ShadowMapping, page: number): void {
  const data = new Uint8Array(PAGE_SIZE);
  const result = accessPage(() => process.readBytes(mapping.address + page * PAGE_SIZE, data));
  mustBe(what, result, mapping.signalFor(page, false));
  if (result !== "") return;
  const own = mapping.own.get(page);
  if (own?.maybeZero === true && isSame(data, ZEROS)) {
    own.bytes.fill(0);
    return;
  }
  mustRead(what, data, mapping.bytes(page));
}

function storePage(
  world: FuzzWorld,
  process: Process,
  mapping: ShadowMapping,
  page: number,
  n: number,
): void {
  const what = `store to page ${page}`;
  const offset = n % 3 === 0 ? 0 : n % PAGE_SIZE;
  const data = world.freshBytes(n % 3 === 0 ? PAGE_SIZE : 1 + ((n >>> 12) % (PAGE_SIZE - offset)));
  const result = accessPage(() => process.writeBytes(mapping.address + page * PAGE_SIZE + offset, data));
  mustBe(what, result, mapping.signalFor(page, true));
  if (result !== "") return;
  const own = mapping.own.get(page);
  if (own?.maybeZero === true) {
    // Written now, the page stays; whether it had been dropped before shows in the rest of it.
    const all = new Uint8Array(PAGE_SIZE);
    if (accessPage(() => process.readBytes(mapping.address + page * PAGE_SIZE, all)) !== "") return;
    own.maybeZero = false;
    const zeroed = new Uint8Array(PAGE_SIZE);
    zeroed.set(data, offset);
    if (isSame(all, zeroed)) own.bytes.fill(0);
  }
  mapping.write(page, offset, data);
}

export const ACTIONS: readonly (readonly [string, Action])[] = [
  [
    "store",
    (world, a, b, c, d) => {
      const range = world.pickRange(a, b, c, d);
      if (range === undefined) return "-";
      for (let i = 0; i < range.pages; i++)
        storePage(world, range.process, range.mapping, range.first + i, (d >>> 3) + i);
      return range.text;
    },
  ],
  [
    "load",
    (world, a, b, c, d) => {
      const range = world.pickRange(a, b, c, d);
      if (range === undefined) return "-";
      for (let i = 0; i < range.pages; i++)
        checkPage(`load ${range.text}`, range.process, range.mapping, range.first + i);
      return range.text;
    },
  ],
  [
    "mmap",
    (world, a, b, c, d) => {
      const owner = world.pickProcess(a);
      if (owner.mappings.length >= MAPPINGS_MAX) return "-";
      const object =
        b % 4 === 0 || world.objects.length === 0 ? undefined : world.objects[b % world.objects.length];
      const pages = 1 + (c % PAGES_MAX);
      const shared = d % 3 !== 0;
      const firstPage = object === undefined ? 0 : (c >>> 8) % 8;
      const writable = (d >>> 4) % 5 !== 0;
      // Into the gap of another mapping is out of the shadow's reach.
      const hasGaps = owner.mappings.some(({ protections }) => protections.includes("unmapped"));
      const address = owner.process.mmap({
        ...(hasGaps ? { address: world.freshAddress() } : {}),
        lengthBytes: pages * PAGE_SIZE,
        shared,
        write: writable,
        ...(object === undefined ? {} : { object: object.memfd, offsetBytes: firstPage * PAGE_SIZE }),
      });
      const anonymousShared = shared && object === undefined;
      const shadow = anonymousShared ? new ShadowObject(pages * PAGE_SIZE) : object?.shadow;
      owner.mappings.push(
        new ShadowMapping({
          address,
          pages,
          kind: shared ? "shared" : "private",
          object: shadow,
          firstPage,
          writable,
        }),
      );
      return `pid ${owner.process.pid} ${pages} pages at 0x${address.toString(16)}`;
    },
  ],
  [
    "object",
    (world, a, b) => {
      if (world.objects.length < OBJECTS_MAX)
        world.addObject((1 + (a % PAGES_MAX)) * PAGE_SIZE - (b % 4 === 0 ? b % PAGE_SIZE : 0));
      return `${world.objects.length}`;
    },
  ],
  [
    "munmap",
    (world, a, b, c, d) => {
      const range = world.pickRange(a, b, c, d);
      if (range === undefined) return "-";
      const { mapping, owner } = range;
      range.process.munmap(range.address, range.lengthBytes);
      mapping.unmap(range.first, range.pages);
      if (mapping.protections.every((protection) => protection === "unmapped"))
        owner.mappings.splice(owner.mappings.indexOf(mapping), 1);
      return range.text;
    },
  ],
  [
    "mprotect",
    (world, a, b, c, d) => {
      const range = world.pickRange(a, b, c, d);
      if (range === undefined) return "-";
      const protection = (d >>> 8) % 2 === 0 ? "r" : "rw";
      attempt(["ENOMEM"], () =>
        range.process.mprotect(range.address, range.lengthBytes, { write: protection === "rw" }),
      );
      // Up to the first gap.
      for (let page = range.first; page < range.first + range.pages; page++) {
        if (range.mapping.protections[page] === "unmapped") break;
        range.mapping.protections[page] = protection;
      }
      return `${range.text} ${protection}`;
    },
  ],
  [
    "mremap",
    (world, a, b, _c, d) => {
      const owner = world.pickProcess(a);
      const mapping = owner.mappings[b % Math.max(1, owner.mappings.length)];
      if (mapping === undefined) return "-";
      const length = mapping.pages * PAGE_SIZE;
      const to = 0x2000_0000_0000 + (d % 4096) * 64 * PAGE_SIZE;
      const taken = owner.mappings.some((other) => Math.abs(other.address - to) < 64 * PAGE_SIZE);
      if (taken) return "-";
      const { address } = mapping;
      const error = attempt(["EFAULT"], () => {
        mapping.address = owner.process.mremap({
          address,
          oldLengthBytes: length,
          newLengthBytes: length,
          to,
        });
      });
      if (error !== "") dropMoved(owner.process, mapping, to);
      return `pid ${owner.process.pid} 0x${address.toString(16)} -> 0x${to.toString(16)} ${error}`;
    },
  ],
  [
    "madvise",
    (world, a, b, c, d) => {
      const range = world.pickRange(a, b, c, d);
      if (range === undefined) return "-";
      const advice = ADVICE[(d >>> 6) % ADVICE.length];
      const errors = ["ENOMEM", "EINVAL", "EACCES", "EFAULT"];
      if (advice === "FREE") markSharersFreed(world, range);
      const error = attempt(errors, () => range.process.madvise(range.address, range.lengthBytes, advice));
      advise(world.kernel, range, advice, error);
      return `${range.text} ${advice} ${error}`;
    },
  ],
  [
    "fork",
    (world, a) => {
      if (world.processes.length < PROCESSES_MAX) world.fork(world.pickProcess(a));
      return `${world.processes.length}`;
    },
  ],
  [
    "exit",
    (world, a) => {
      if (world.processes.length < 2) return "-";
      const index = a % world.processes.length;
      world.processes[index].process.exit();
      world.processes.splice(index, 1);
      return `${index}`;
    },
  ],
  [
    "pread",
    (world, a, b, c) => {
      const object = world.objects[a % Math.max(1, world.objects.length)];
      if (object === undefined) return "-";
      const position = b % (PAGES_MAX * PAGE_SIZE);
      const data = new Uint8Array(1 + (c % (3 * PAGE_SIZE)));
      let length = 0;
      if (attempt(["ENOMEM"], () => (length = object.memfd.pread(data, position))) !== "") return "ENOMEM";
      mustRead("pread", data.subarray(0, length), object.shadow.read(position, data.length));
      return `${position}+${length}`;
    },
  ],
  [
    "pwrite",
    (world, a, b, c) => {
      const object = world.objects[a % Math.max(1, world.objects.length)];
      if (object === undefined) return "-";
      const position = b % (PAGES_MAX * PAGE_SIZE);
      const data = world.freshBytes(1 + (c % (3 * PAGE_SIZE)));
      let length = 0;
      if (attempt(["ENOMEM"], () => (length = object.memfd.pwrite(data, position))) !== "") return "ENOMEM";
      object.shadow.write(position, data.subarray(0, length));
      return `${position}+${length}`;
    },
  ],
  [
    "punch",
    (world, a, b, c) => {
      const object = world.objects[a % Math.max(1, world.objects.length)];
      if (object === undefined) return "-";
      const unit = a % 2 === 0 ? PAGE_SIZE : 1;
      const position = (b % (PAGES_MAX * (PAGE_SIZE / unit))) * unit;
      const length = (1 + (c % ((8 * PAGE_SIZE) / unit))) * unit;
      const error = attempt(["ENOMEM"], () => object.memfd.punchHole(position, length));
      if (error === "") object.shadow.zero(position, position + length);
      return `${position}+${length} ${error}`;
    },
  ],
  [
    "truncate",
    (world, a, b) => {
      const object = world.objects[a % Math.max(1, world.objects.length)];
      if (object === undefined) return "-";
      const size = b % 4 === 0 ? b % (PAGES_MAX * PAGE_SIZE) : (b % PAGES_MAX) * PAGE_SIZE;
      const error = attempt(["ENOMEM"], () => object.memfd.ftruncate(size));
      if (error !== "") return error;
      object.shadow.truncate(size);
      for (const { mappings } of world.processes)
        for (const mapping of mappings) mapping.truncated(object.shadow);
      return `${size}`;
    },
  ],
  [
    "fallocate",
    (world, a, b, c) => {
      const object = world.objects[a % Math.max(1, world.objects.length)];
      if (object === undefined) return "-";
      const position = (b % PAGES_MAX) * PAGE_SIZE;
      const length = (1 + (c % 4)) * PAGE_SIZE;
      const error = attempt(["ENOMEM"], () => object.memfd.fallocate(position, length));
      if (error === "") object.shadow.sizeBytes = Math.max(object.shadow.sizeBytes, position + length);
      return error;
    },
  ],
  ["reclaim", (world, a) => `${world.kernel.reclaim({ targetPages: 1 + (a % 32) })}`],
  ["reclaim all", (world) => `${world.kernel.reclaimAll()}`],
  ["swap", (world, a, b) => world.toggleSwap(a, b)],
  [
    "clear_refs",
    (world, a) => {
      world.pickProcess(a).process.clearRefs();
      return "";
    },
  ],
  [
    "userfaultfd",
    (world, a, b, c, d) => {
      const range = world.pickRange(a, b, c, d);
      if (range === undefined) return "-";
      const { owner, address, lengthBytes } = range;
      owner.userfaultfd ??= owner.process.userfaultfd();
      const uffd = owner.userfaultfd;
      const what = (["register", "protect", "protect", "resolve", "unregister"] as const)[(d >>> 8) % 5];
      return `${range.text} ${what} ${attempt(["EINVAL", "ENOENT", "ENOMEM"], () => uffd[what](address, lengthBytes))}`;
    },
  ],
  ["race", race],
];

const ADVICE = [
  "PAGEOUT",
  "DONTNEED",
  "REMOVE",
  "PAGEOUT",
  "COLD",
  "WILLNEED",
  "FREE",
  "POPULATE_READ",
  "POPULATE_WRITE",
] as const;

/**
 * MADV_FREE takes a clean page from everyone who shares it since a fork, as Linux does (docs/findings.md): so all
 * who have the frame mapped may find zeros.
 */
function markSharersFreed(world: FuzzWorld, range: NonNullable<ReturnType<FuzzWorld["pickRange"]>>): void {
  if (range.mapping.object !== undefined) return;
  const freed = new Set<number>();
  for (let i = 0; i < range.pages; i++) freed.add(range.process.frameAt(range.address + i * PAGE_SIZE));
  freed.delete(-1);
  for (const { process, mappings } of world.processes)
    for (const mapping of mappings)
      for (const [page, own] of mapping.own)
        if (freed.has(process.frameAt(mapping.address + page * PAGE_SIZE))) own.maybeZero = true;
}

/** What an advice does to what can be read. */
function advise(
  kernel: Kernel,
  range: NonNullable<ReturnType<FuzzWorld["pickRange"]>>,
  advice: (typeof ADVICE)[number],
  error: string,
): void {
  const { mapping, first, pages, process } = range;
  const refused = error === "EINVAL" || error === "EACCES";
  for (let page = first; page < first + pages; page++) {
    if (mapping.protections[page] === "unmapped") continue;
    const own = mapping.own.get(page);
    if (advice === "DONTNEED") mapping.own.delete(page);
    else if (advice === "FREE" && own !== undefined && !refused) own.maybeZero = true;
    else if (advice === "REMOVE" && !refused) {
      const at = (mapping.firstPage + page) * PAGE_SIZE;
      mapping.object?.zero(at, at + PAGE_SIZE);
    } else if (advice === "POPULATE_WRITE" && mapping.kind === "private") {
      // It may have stopped early: a page is private if it is writable now.
      if (error !== "" && !kernel.isAnonymous(process.frameAt(mapping.address + page * PAGE_SIZE))) continue;
      mapping.makeOwn(page);
    }
  }
}

/** Faults and page-outs in an order of their own, stage by stage. None of them changes what can be read. */
function race(world: FuzzWorld, a: number, b: number, c: number, d: number): string {
  const { kernel } = world;
  const tasks: Task[] = [];
  for (let i = 0; i < 2 + (a % 2); i++) {
    const range = world.pickRange(a >>> i, b >>> i, c >>> i, d);
    if (range === undefined) continue;
    const { process, mapping, address } = range;
    const isWrite = ((a >>> (3 + i)) & 1) === 1;
    // A store of nothing still makes a private page.
    const makesOwn = isWrite && mapping.kind === "private" && !mapping.own.has(range.first);
    if (!makesOwn) tasks.push(process.startFault(address, isWrite));
    const frame = process.frameAt(address);
    const pageOut = frame > 0 ? kernel.startPageOut(frame) : undefined;
    if (pageOut !== undefined) tasks.push(pageOut);
  }
  let n = d;
  interleave(kernel, tasks, (count) => {
    kernel.checkInvariants({ tasksInFlight: true });
    n = (Math.imul(n, 1_664_525) + 1_013_904_223) >>> 0;
    return (n >>> 8) % count;
  });
  return `${tasks.length} tasks`;
}
