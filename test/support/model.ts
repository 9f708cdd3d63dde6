// Kernels to test, and what they show: short forms for tests of the model.
import { createHash } from "node:crypto";
import { onTestFinished } from "vitest";
import {
  Kernel,
  type KernelConfig,
  type KernelOptions,
  Memfd,
  MemorySwapDevice,
  type Process,
} from "../../src/model/index.ts";
import { entryOffset } from "../../src/model/page-table.ts";

export const PAGE = 4096;

export interface Setup {
  readonly profile?: string;
  /** Without readahead unless `page_cluster` is set. */
  readonly config?: Partial<KernelConfig>;
  /** 256 unless given. */
  readonly memoryPages?: number;
  /** Pages that fit in each swap area; one area of 1,024 unless given. */
  readonly swapPages?: readonly number[];
  /** Whether page-out frees a page at once, as with zram; else it is a disk. */
  readonly synchronous?: boolean;
  readonly contents?: boolean;
}

/**
 * A kernel for one test. When the test ends, everything that must be true is checked; then all processes exit, all
 * descriptors close, and nothing may be left: no page, no swap slot, no page table, no anon_vma.
 */
export function testKernel(setup: Setup = {}): Kernel {
  const kernel = bareKernel(setup);
  onTestFinished(() => {
    kernel.checkInvariants();
    retire(kernel);
  });
  return kernel;
}

/** The same without the checks at the end, for tests that do damage. */
export function bareKernel(setup: Setup = {}): Kernel {
  const { config = {}, memoryPages = 256, swapPages = [1024], synchronous = true, profile } = setup;
  const options: KernelOptions = {
    config: { page_cluster: 0, ...config },
    memoryPages,
    swap: swapPages.map((pages) => new MemorySwapDevice({ slots: pages + 1, synchronous })),
    ...(profile === undefined ? {} : { profile }),
    ...(setup.contents === undefined ? {} : { contents: setup.contents }),
  };
  return new Kernel(options);
}

/** Ends all processes and closes all descriptors. */
export function endAll(kernel: Kernel): void {
  for (const process of kernel.processes) process.exit();
  for (const object of kernel.objects) if (object.isOpen) new Memfd(kernel, object).close();
}

/** The same, and throws if anything is left then. */
export function retire(kernel: Kernel): void {
  endAll(kernel);
  kernel.checkInvariants();
  const left = {
    objects: kernel.objects.length,
    pages: kernel.frames.sizePages - kernel.frames.freeCount,
    slots: kernel.swap.areas.reduce((sum, area) => sum + area.usedSlots, 0),
    tables: kernel.pageTables.inUse,
    anonVmas: kernel.anonVmas.count,
  };
  const leaked = Object.entries(left).filter(([, count]) => count !== 0);
  if (leaked.length > 0)
    throw new Error(
      `left when all has ended: ${leaked.map(([what, count]) => `${count} ${what}`).join(", ")}`,
    );
}

/** Pagemap entries, read as one reads the real file: little-endian words in a Buffer. */
export function pagemapEntries(process: Process, address: number, pages: number): bigint[] {
  const buffer = Buffer.alloc(pages * 8);
  const got = process.pagemap.pread(buffer, (address / PAGE) * 8);
  return Array.from({ length: got / 8 }, (_, page) => buffer.readBigUInt64LE(page * 8));
}

/**
 * Bits 55 to 63 of each page's pagemap entry in hex, as the recorded traces have them: a PTE marker with type and
 * bits.
 */
export function pagemap(process: Process, address: number, pages: number): string[] {
  return pagemapEntries(process, address, pages).map((entry) => {
    const flags = (entry >> 55n).toString(16);
    const type = entry & 31n;
    const isMarker = (entry >> 62n) % 4n === 1n && type >= 22n;
    return isMarker ? `${flags}:${type}.${(entry & ((1n << 55n) - 1n)) >> 5n}` : flags;
  });
}

/** mincore's answer, a digit a page. */
export function mincore(process: Process, address: number, pages: number): string {
  return process.mincore(address, pages * PAGE).join("");
}

/** How each of an object's pages is kept. */
export function states(memfd: Memfd): string[] {
  return Array.from({ length: Math.ceil(memfd.sizeBytes / PAGE) }, (_, page) => memfd.pageState(page));
}

const patterns = new Map<number, Uint8Array>();

function sharedPattern(seed: number): Uint8Array {
  const known = patterns.get(seed);
  if (known !== undefined) return known;
  const bytes = new Uint8Array(PAGE);
  let state = (seed + 1) * 0x9e3779b1;
  for (let i = 0; i < PAGE; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  patterns.set(seed, bytes);
  return bytes;
}

/** A page of bytes that differ from page to page and within the page. */
export function pattern(seed: number): Uint8Array {
  return sharedPattern(seed).slice();
}

/** Stores `pattern(seed + i)` in each of the pages. */
export function fill(process: Process, address: number, pages: number, seed = 0): void {
  for (let i = 0; i < pages; i++) process.writeBytes(address + i * PAGE, sharedPattern(seed + i));
}

/** The pages whose bytes are not those that {@link fill} stored. */
export function wrongPages(process: Process, address: number, pages: number, seed = 0): number[] {
  const wrong: number[] = [];
  const bytes = new Uint8Array(PAGE);
  for (let i = 0; i < pages; i++) {
    process.readBytes(address + i * PAGE, bytes);
    if (Buffer.compare(bytes, sharedPattern(seed + i)) !== 0) wrong.push(i);
  }
  return wrong;
}

/** The same through a descriptor. */
export function wrongPagesOf(memfd: Memfd, first: number, pages: number, seed = 0): number[] {
  const wrong: number[] = [];
  const bytes = new Uint8Array(PAGE);
  for (let i = 0; i < pages; i++) {
    const got = memfd.pread(bytes, (first + i) * PAGE);
    if (got !== PAGE || Buffer.compare(bytes, sharedPattern(seed + i)) !== 0) wrong.push(i);
  }
  return wrong;
}

/** The code of the Errno, or the signal, with which `action` fails; "" if it doesn't. */
export function failure(action: () => void): string {
  try {
    action();
    return "";
  } catch (error) {
    const { code, signal } = error as { code?: string; signal?: string };
    const name = code ?? signal;
    if (name === undefined) throw error;
    return name;
  }
}

/** A hash of all state: page tables bit for bit, frames, lists, swap, page caches, areas, counters, bytes. */
export function stateHash(kernel: Kernel): string {
  const hash = createHash("sha256");
  const add = (...values: readonly (number | string)[]): void => {
    hash.update(`${values.join(" ")}\n`);
  };
  for (const process of kernel.processes) {
    add("process", process.pid);
    for (const vma of process.mm.vmas) {
      const { start, end, flags, pgoff, protLo, protHi, object } = vma;
      add("area", start, end, flags, pgoff, protLo, protHi, object?.id ?? 0, vma.anonVma?.id ?? 0);
      const { pageTables } = process.mm;
      for (
        let vpn = pageTables.skipToTable(start, end);
        vpn < end;
        vpn = pageTables.skipToTable(vpn + 1, end)
      ) {
        const table = pageTables.find(vpn);
        const words = kernel.pageTables.chunkOf(table);
        const i = entryOffset(table, vpn);
        if (words[i] !== 0 || words[i + 1] !== 0) add(vpn, words[i], words[i + 1]);
      }
    }
  }
  const { frames } = kernel;
  for (let pfn = 0; pfn <= frames.sizePages; pfn++) {
    const { flags, group, refcount, mapcount, mapping, lruPrev, lruNext, swapEntry } = frames;
    add(
      ...[flags, group, refcount, mapcount, mapping, lruPrev, lruNext, swapEntry].map((of) => of[pfn]),
      frames.index(pfn),
    );
    if (refcount[pfn] > 0) hash.update(frames.contents.bytes(pfn));
  }
  add("free", ...frames.freeFrames());
  for (const group of kernel.groups.all) {
    add("group", group.id, group.usagePages, group.limitPages);
    for (let list = 0; list < 4; list++) add("list", list, ...kernel.lru.pages(group.id, list));
  }
  for (const area of kernel.swap.areas)
    add("swap", area.type, area.usedSlots, area.unusedFrom, ...area.counts, ...area.cache, ...area.group);
  for (const object of kernel.objects) {
    add(
      "object",
      object.id,
      object.sizeBytes,
      object.residentPages,
      object.swappedPages,
      object.mappings.size,
    );
    for (let i = object.nextEntry(0, 2 ** 40); i < 2 ** 40; i = object.nextEntry(i + 1, 2 ** 40))
      add(i, object.get(i));
  }
  add("vmstat", JSON.stringify(kernel.vmstat), kernel.pageTables.inUse, kernel.anonVmas.count);
  return hash.digest("hex");
}

/** Overwrites a PTE whose page table is there. */
export function setPte(kernel: Kernel, process: Process, address: number, lo: number, hi: number): void {
  const vpn = address / PAGE;
  const table = process.mm.pageTables.find(vpn);
  kernel.pageTables.write(kernel.pageTables.chunkOf(table), entryOffset(table, vpn), lo, hi);
}

/**
 * A machine in which about everything there is can be found: pages present, swapped, in the swap cache, read ahead,
 * reserved, shared by fork, copied, write-protected, markers of all kinds and stale ones, holes, groups.
 */
export function busyKernel(): { kernel: Kernel; processes: readonly Process[]; objects: readonly Memfd[] } {
  const kernel = testKernel({ synchronous: false, swapPages: [200, 200], config: { page_cluster: 2 } });
  const group = kernel.createGroup("some", { limitPages: 60 });
  const [a, b] = [kernel.createProcess(), kernel.createProcess({ group })];
  const [o0, o1] = [kernel.memfdCreate({ sizePages: 64 }), kernel.memfdCreate({ sizePages: 20 })];
  const shared = a.mmap({ lengthBytes: 64 * PAGE, object: o0, shared: true, write: true });
  const inB = b.mmap({
    lengthBytes: 32 * PAGE,
    object: o0,
    offsetBytes: 16 * PAGE,
    shared: true,
    write: true,
  });
  const copy = b.mmap({ lengthBytes: 20 * PAGE, object: o1, write: true });
  const own = a.mmap({ lengthBytes: 40 * PAGE, write: true });
  fill(a, shared, 48);
  fill(b, inB + 8 * PAGE, 12, 100);
  for (let page = 0; page < 20; page += 2) o1.pwrite(pattern(page), page * PAGE);
  fill(b, copy + 4 * PAGE, 6, 200);
  b.touchRead(copy, 4 * PAGE);
  fill(a, own, 20, 300);
  a.touchRead(own + 20 * PAGE, 4 * PAGE);
  o0.fallocate(50 * PAGE, 4 * PAGE);
  const child = a.fork();
  fill(child, own, 3, 400);
  a.clearRefs();
  fill(a, own + 10 * PAGE, 4, 500);
  const uffd = a.userfaultfd();
  uffd.register(shared, 32 * PAGE);
  uffd.protect(shared, 6 * PAGE);
  a.madvise(shared, 40 * PAGE, "PAGEOUT");
  a.madvise(own, 14 * PAGE, "PAGEOUT");
  kernel.reclaim({ targetPages: 20 });
  o0.pread(new Uint8Array(8 * PAGE), 4 * PAGE);
  a.madvise(own, 4 * PAGE, "WILLNEED");
  a.touchRead(shared + 8 * PAGE, 4 * PAGE);
  a.mprotect(own + 16 * PAGE, 4 * PAGE, { read: false });
  o1.punchHole(8 * PAGE, 4 * PAGE);
  kernel.checkInvariants();
  return { kernel, processes: [a, b, child], objects: [o0, o1] };
}
