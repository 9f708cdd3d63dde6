/**
 * An object that a process maps (a file, a memfd, a segment of shared memory) seen from outside: which of its
 * pages are in memory, which have content, which are in swap. Looking brings nothing in.
 *
 * Source: mincore(2), lseek(2), `Documentation/mm/page_cache.rst`, cachestat(2); `mm/mincore.c`,
 * `mm/filemap.c` (6.18).
 */

import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  type Stats,
  statfsSync,
  statSync,
} from "node:fs";
import { HUGETLBFS_MAGIC, MAP_SHARED, PAGE_SIZE, PROT_READ, TMPFS_MAGIC } from "../abi/index.ts";
import {
  addressOf,
  lseekRaw,
  mincore,
  mmap,
  munmap,
  type Pointer,
  SEEK_DATA,
  SEEK_HOLE,
  SYS,
  syscallRaw,
} from "./libc.ts";
import { errnoNameOf, LinuxError } from "./linux-error.ts";
import { type MapsEntry, mapFilesPath } from "./maps.ts";
import { PTRACE_READ_NEEDS, procError } from "./procfs.ts";

/** What cachestat(2) counts in a range, pages. */
export interface CacheCounts {
  /** In the page cache. */
  readonly cached: number;
  /** In swap; of a file on a disk, dropped not long ago. */
  readonly evicted: number;
}

/** What changes when an object's content does: fstat(2) of it. */
export interface ObjectStamp {
  readonly sizePages: number;
  /** 512-byte units; of shared memory, pages in memory and in swap. */
  readonly blocks: number;
  /** Last change of its metadata, nanoseconds since 1970. */
  readonly changedNs: bigint;
}

/**
 * Where no object reaches: this far behind its end there is no page, and what mincore says of it is known.
 */
const FAR_BEHIND_BYTES = 2 ** 30;

const MAP_FILES_NEEDS =
  "CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN (be root), to open an object that has neither a path nor a descriptor";

/** An object, open and mapped here, but never touched. Page numbers are the object's. */
export class PageCacheView implements Disposable {
  /** Shared memory: its pages go to swap, not to a disk. */
  readonly isShmem: boolean;
  readonly #fd: number;
  readonly #name: string;
  readonly #mappedPages: number;
  readonly #pointer: Pointer;
  #cachestatRefusal: string | undefined;

  private constructor({ fd, name, fileSystem, lengthBytes }: OpenObject) {
    this.#fd = fd;
    this.#name = name;
    this.isShmem = fileSystem === TMPFS_MAGIC;
    this.#mappedPages = Math.max(1, Math.ceil(lengthBytes / PAGE_SIZE));
    this.#pointer = mmapUntouched(fd, 0, this.#mappedPages * PAGE_SIZE);
  }

  /**
   * Opens the object that `entry` of the process's maps is of: through `/proc/PID/map_files`, or, without the
   * privilege for it, through a descriptor or the path that lead to the same inode.
   *
   * Throws a LinuxError: ENOENT if the mapping is gone, ESRCH the process; EPERM if the object may not be
   * opened, or not be asked (the kernel then says that every page is in memory); and without a code if it is
   * none to ask: private memory, a device, hugetlbfs.
   */
  static open(pid: number, entry: MapsEntry): PageCacheView {
    const name = entry.path || `0x${entry.start.toString(16)} of process ${pid}`;
    const fd = openObject(pid, entry, name);
    return PageCacheView.adopt(fd, { name, endBytes: entry.offsetBytes + entry.end - entry.start });
  }

  /**
   * Takes over a descriptor, and closes it when disposed of, or when this fails. Pages up to `endBytes` can
   * be asked about, should the object grow. Throws a LinuxError if the object may not be asked.
   */
  static adopt(
    fd: number,
    { name, endBytes }: { readonly name: string; readonly endBytes: number },
  ): PageCacheView {
    try {
      const { size } = fstatSync(fd);
      const fileSystem = statfsSync(`/proc/self/fd/${fd}`).type;
      refuseUnaskable({ fd, name, fileSystem, lengthBytes: size });
      // One mapping for all of it.
      return new PageCacheView({ fd, name, fileSystem, lengthBytes: Math.max(size, endBytes) });
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /**
   * Sets `resident[i]` to 1 if page `first + i` is in memory, in the page cache or in the swap cache, else to
   * 0. Throws a LinuxError if the kernel has no memory to answer.
   */
  mincore(first: number, pages: number, resident: Uint8Array): void {
    const known = Math.max(0, Math.min(pages, this.#mappedPages - first));
    if (known > 0) mincore(this.#pointer + BigInt(first * PAGE_SIZE), known * PAGE_SIZE, resident);
    resident.fill(0, known, pages); // behind the end
  }

  /** Calls back for each run of pages with content, in memory or not, in order. The rest are holes. */
  forEachData(first: number, pages: number, run: (first: number, pages: number) => void): void {
    const end = first + pages;
    for (let at = first; at < end; ) {
      const dataBytes = this.#seek(at, SEEK_DATA);
      if (dataBytes < 0) return;
      const data = Math.max(at, Math.floor(dataBytes / PAGE_SIZE));
      if (data >= end) return;
      const holeBytes = this.#seek(data, SEEK_HOLE);
      const hole = holeBytes < 0 ? end : Math.min(end, Math.max(data + 1, Math.ceil(holeBytes / PAGE_SIZE)));
      run(data, hole - data);
      at = hole;
    }
  }

  /** An offset in bytes, or -1: there is no more data. */
  #seek(page: number, whence: number): number {
    const offset = lseekRaw(this.#fd, page * PAGE_SIZE, whence);
    if (offset >= 0) return offset;
    const code = errnoNameOf(-offset);
    if (code === "ENXIO") return -1;
    throw new LinuxError({ code, call: `lseek in ${this.#name}` });
  }

  /** Why {@link cachestat} does not answer; "" if it does. */
  get cachestatRefusal(): string {
    if (this.#cachestatRefusal === undefined) {
      const probe = cachestat(this.#fd, 0, 1);
      this.#cachestatRefusal = typeof probe === "string" ? probe : "";
    }
    return this.#cachestatRefusal;
  }

  /**
   * Counts pages; undefined where {@link cachestatRefusal} tells why not. The range may go beyond the
   * object's end.
   */
  cachestat(first: number, pages: number): CacheCounts | undefined {
    if (this.cachestatRefusal !== "") return undefined;
    if (pages === 0) return { cached: 0, evicted: 0 }; // a length of 0 would be the whole rest
    const counts = cachestat(this.#fd, first, pages);
    if (typeof counts !== "string") return counts;
    throw new LinuxError({ call: `cachestat of ${this.#name}`, needs: counts });
  }

  stat(): ObjectStamp {
    const { size, blocks, ctimeNs } = fstatSync(this.#fd, { bigint: true });
    return {
      sizePages: Math.ceil(Number(size) / PAGE_SIZE),
      blocks: Number(blocks),
      changedNs: ctimeNs,
    };
  }

  [Symbol.dispose](): void {
    munmap(this.#pointer, this.#mappedPages * PAGE_SIZE);
    closeSync(this.#fd);
  }
}

/** An object that was opened, and how much of it there is to map. */
interface OpenObject {
  readonly fd: number;
  readonly name: string;
  /** `f_type`. */
  readonly fileSystem: number;
  readonly lengthBytes: number;
}

/**
 * cachestat's arguments: a range (offset, length), and five counts; 64 bits each. They serve one call at a
 * time.
 */
const range = new Uint32Array(4);
const counts = new Uint32Array(10);
const rangeAddress = addressOf(range);
const countsAddress = addressOf(counts);

/** The counts, or why there are none. */
function cachestat(fd: number, first: number, pages: number): CacheCounts | string {
  setU64(range, 0, first * PAGE_SIZE);
  setU64(range, 1, pages * PAGE_SIZE);
  const result = syscallRaw(SYS.cachestat, fd, rangeAddress, countsAddress, 0);
  if (result < 0) return describeCachestatError(errnoNameOf(-result));
  return { cached: getU64(counts, 0), evicted: getU64(counts, 3) };
}

function setU64(words: Uint32Array, index: number, value: number): void {
  words[index * 2] = value;
  words[index * 2 + 1] = value / 2 ** 32;
}

function getU64(words: Uint32Array, index: number): number {
  return words[index * 2 + 1] * 2 ** 32 + words[index * 2];
}

function describeCachestatError(code: string): string {
  const needs: Readonly<Record<string, string>> = {
    ENOSYS: "cachestat, which Linux has since 6.5",
    EPERM: "to own the object, to be allowed to write it, or CAP_FOWNER",
    EOPNOTSUPP: "a file system that cachestat knows",
  };
  return `${code}: ${needs[code] ?? "cachestat failed"}`;
}

/**
 * A mapping to ask mincore about. Nothing touches it, so that it has no page-table entries and the cache is
 * asked.
 */
function mmapUntouched(fd: number, offsetBytes: number, lengthBytes: number): Pointer {
  return mmap({ lengthBytes, prot: PROT_READ, flags: MAP_SHARED, fd, offsetBytes });
}

function refuseUnaskable({ fd, name, fileSystem, lengthBytes }: OpenObject): void {
  if (fileSystem === HUGETLBFS_MAGIC) {
    throw new LinuxError({
      call: `page cache of ${name}`,
      needs: "a file system that tells; hugetlbfs does not, and its pages are never swapped",
    });
  }
  if (!mincoreTells(fd, lengthBytes)) {
    throw new LinuxError({
      code: "EPERM",
      call: `mincore of ${name}`,
      needs:
        "to own the object, to be allowed to write it, or CAP_FOWNER; others are told that all is in memory",
    });
  }
}

/** Where mincore may not tell, it says that every page is in memory; so also of one that can't exist. */
function mincoreTells(fd: number, sizeBytes: number): boolean {
  const behind = (Math.ceil(sizeBytes / FAR_BEHIND_BYTES) + 1) * FAR_BEHIND_BYTES;
  const resident = new Uint8Array(1);
  const pointer = mmapUntouched(fd, behind, PAGE_SIZE);
  try {
    mincore(pointer, PAGE_SIZE, resident);
  } finally {
    munmap(pointer, PAGE_SIZE);
  }
  return (resident[0] & 1) === 0;
}

/** Opens, for reading, what the process maps there. */
function openObject(pid: number, entry: MapsEntry, name: string): number {
  if (entry.inode === 0) {
    throw new LinuxError({ call: `page cache of ${name}`, needs: "an object; private memory has none" });
  }
  const path = mapFilesPath(pid, entry);
  try {
    return openRegular(path, entry, name);
  } catch (error) {
    if (error instanceof LinuxError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    const mayBeElsewhere = code === "EPERM" || code === "EACCES";
    const fd = mayBeElsewhere ? openElsewhere(pid, entry, name) : undefined;
    if (fd !== undefined) return fd;
    throw procError(error, pid, path, {
      ENOENT: "the mapping is gone",
      EPERM: MAP_FILES_NEEDS,
      EACCES: `${PTRACE_READ_NEEDS}; and ${MAP_FILES_NEEDS}`,
    });
  }
}

/** Without the privilege for map_files: the same inode by a descriptor of the process, or by its path. */
function openElsewhere(pid: number, entry: MapsEntry, name: string): number | undefined {
  const candidates = [...descriptorPaths(pid)];
  if (entry.path.startsWith("/") && !entry.deleted) candidates.push(`/proc/${pid}/root${entry.path}`);
  for (const path of candidates) {
    try {
      if (isObjectOf(statSync(path), entry)) return openRegular(path, entry, name);
    } catch {
      // closed meanwhile, or not ours to open: try the next
    }
  }
  return undefined;
}

function descriptorPaths(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => `/proc/${pid}/fd/${fd}`);
  } catch {
    return [];
  }
}

/** Opens only what reading cannot disturb: to open a device or a pipe may have effects. */
function openRegular(path: string, entry: MapsEntry, name: string): number {
  if (!statSync(path).isFile()) {
    throw new LinuxError({
      call: `page cache of ${name}`,
      needs: "a file; a device's memory has no page cache",
    });
  }
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const { dev, ino } = fstatSync(fd);
  // Stacked file systems show another device here than in maps, and may show another inode.
  if (ino === entry.inode || formatDevice(dev) !== entry.device) return fd;
  closeSync(fd);
  throw new LinuxError({
    code: "ENOENT",
    call: `open ${path}`,
    needs: "the mapping is gone, another is in its place",
  });
}

function isObjectOf({ dev, ino }: Stats, { device, inode }: MapsEntry): boolean {
  return ino === inode && formatDevice(dev) === device;
}

/** `st_dev` as maps shows a device. Source: `new_encode_dev`, `include/linux/kdev_t.h` (6.18). */
function formatDevice(dev: number): string {
  const major = (dev >>> 8) & 0xfff;
  const minor = (dev & 0xff) | ((dev >>> 12) & 0xfff00);
  return [major, minor].map((number) => number.toString(16).padStart(2, "0")).join(":");
}
