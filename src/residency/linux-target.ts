/**
 * A process of the running kernel, to be asked about. Source of the names: proc_pid_maps(5), memfd_create(2),
 * shmget(2).
 */

import { statfsSync, statSync } from "node:fs";
import { release } from "node:os";
import {
  HUGETLBFS_MAGIC,
  MAX_SWAPFILES_FEWEST,
  PAGE_IS_PRESENT,
  PAGE_IS_SWAPPED,
  PAGE_SIZE,
  PM_HI_SWAP,
  PM_HI_UFFD_WP,
  TMPFS_MAGIC,
} from "../abi/index.ts";
import {
  LinuxError,
  type MapsEntry,
  mapFilesPath,
  PageCacheView,
  PagemapFile,
  PagemapScanner,
  pagemapShowsFrames,
  processName,
  readMaps,
} from "../linux/index.ts";
import { readProcFile } from "../linux/procfs.ts";
import {
  countSwapIns,
  countSwapOuts,
  markerSwapType,
  removalsAreStamped,
  swapInsAreCounted,
} from "./premises.ts";
import type {
  AddressRange,
  EntryMeaning,
  Mapping,
  MappingKind,
  ObjectView,
  Refusal,
  Target,
} from "./target.ts";

/**
 * User addresses are below 2^56 (five levels of page tables); [vsyscall] is above, and pagemap has nothing of
 * it.
 */
const USER_PAGES_MAX = 2 ** 56 / PAGE_SIZE;

/** Ranges nearer than that are one: it is cheaper to read on than to begin anew. */
const GAP_BYTES = 2 ** 21;

let meaning: EntryMeaning | undefined;

/** Found out once: it is of this process and this kernel, whoever is looked at. */
function entryMeaning(): EntryMeaning {
  if (meaning !== undefined) return meaning;
  const showsTypes = pagemapShowsFrames();
  meaning = {
    swapTypesEnd: showsTypes ? MAX_SWAPFILES_FEWEST : undefined,
    markerType: showsTypes ? markerSwapType() : undefined,
    markerFlags: PM_HI_SWAP | PM_HI_UFFD_WP,
  };
  return meaning;
}

export class LinuxTarget implements Target {
  readonly pid: number;
  readonly name: string;
  readonly kernel = release();
  readonly entries = entryMeaning();
  readonly settleMs = 1000;
  readonly #pagemap: PagemapFile;
  #scanner: PagemapScanner | undefined;
  /** The lines of maps, as last read, in order of address. */
  #lines: readonly MapsEntry[] = [];
  /** Kinds of the objects seen so far, by id. */
  readonly #kinds = new Map<string, MappingKind>();

  private constructor(pid: number, name: string, pagemap: PagemapFile) {
    this.pid = pid;
    this.name = name;
    this.#pagemap = pagemap;
  }

  /** Throws a LinuxError: ESRCH if there is no such process, EACCES without ptrace read access to it. */
  static open(pid: number): LinuxTarget {
    const name = processName(pid);
    return new LinuxTarget(pid, name, PagemapFile.open(pid));
  }

  get pagemap(): PagemapFile {
    return this.#pagemap;
  }

  /** Throws a LinuxError ESRCH when the process has ended. */
  mappings(): Mapping[] {
    this.#lines = readMaps(this.pid);
    return this.#lines.map((line) => {
      const objectId = line.inode === 0 ? "" : `${line.device}:${line.inode}`;
      return {
        start: line.start,
        end: line.end,
        kind: objectId === "" ? kindOfPrivate(line) : this.#kindOfObject(line, objectId),
        shared: line.shared,
        objectId,
        name: nameOf(line),
        objectFirstPage: objectId === "" ? 0 : line.offsetBytes / PAGE_SIZE,
      };
    });
  }

  #kindOfObject(line: MapsEntry, objectId: string): MappingKind {
    // The same device is anonymous memory to who maps it privately.
    if (!line.shared && line.path === "/dev/zero") return "anon";
    let kind = this.#kinds.get(objectId);
    if (kind === undefined) {
      kind = kindOfObject(this.pid, line);
      this.#kinds.set(objectId, kind);
    }
    return kind;
  }

  readPagemap(firstPage: number, words: Uint32Array): number {
    return firstPage < USER_PAGES_MAX ? this.#pagemap.read(firstPage, words) : 0;
  }

  populatedRanges({ start, end }: Mapping): AddressRange[] | undefined {
    const ranges: { start: number; end: number }[] = [];
    this.#scanner ??= new PagemapScanner();
    const request = { start, end, anyOf: PAGE_IS_PRESENT | PAGE_IS_SWAPPED };
    try {
      this.#scanner.scan(this.#pagemap, request, (from, to) => {
        const last = ranges.at(-1);
        if (last !== undefined && from - last.end < GAP_BYTES) last.end = to;
        else ranges.push({ start: from, end: to });
      });
    } catch (error) {
      if (error instanceof LinuxError && error.code === "ENOTTY") return undefined;
      throw error;
    }
    return ranges;
  }

  openObject(mapping: Mapping): ObjectView | Refusal {
    const line = lineAt(this.#lines, mapping.start);
    if (line === undefined) return { reason: "the mapping is gone" };
    try {
      return PageCacheView.open(this.pid, line);
    } catch (error) {
      if (error instanceof LinuxError) return { reason: error.message };
      throw error;
    }
  }

  swapIns(): number | undefined {
    return swapInsAreCounted() && removalsAreStamped() ? countSwapIns() : undefined;
  }

  swapOuts(): number | undefined {
    return countSwapOuts();
  }

  now(): number {
    return Date.now();
  }

  [Symbol.dispose](): void {
    this.#pagemap[Symbol.dispose]();
  }
}

/** The line that an address is in: by halves, since a process may have tens of thousands. */
function lineAt(lines: readonly MapsEntry[], address: number): MapsEntry | undefined {
  let low = 0;
  let high = lines.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (lines[middle].end <= address) low = middle + 1;
    else high = middle;
  }
  const line = lines.at(low);
  return line !== undefined && line.start <= address ? line : undefined;
}

const MEMORY_NAMES = /^$|^\[(heap|stack|anon)/;

function kindOfPrivate({ path }: MapsEntry): MappingKind {
  return MEMORY_NAMES.test(path) ? "anon" : "special";
}

function kindOfObject(pid: number, line: MapsEntry): MappingKind {
  const link = mapFilesPath(pid, line);
  try {
    if (!statSync(link).isFile()) return "special";
    const { type } = statfsSync(link);
    if (type === TMPFS_MAGIC) return "shmem";
    return type === HUGETLBFS_MAGIC ? "hugetlb" : "file";
  } catch {
    return kindByName(pid, line); // may not follow the link, or it is gone
  }
}

/** By what the kernel calls it, and by the file system that the process has mounted from the same device. */
function kindByName(pid: number, { path, device, deleted }: MapsEntry): MappingKind {
  if (path.startsWith("anon_inode:") || path.startsWith("/anon_hugepage")) {
    return path.startsWith("/") ? "hugetlb" : "special";
  }
  if (deleted && (path === "/dev/zero" || path.startsWith("/memfd:") || path.startsWith("/SYSV")))
    return "shmem";
  const fileSystem = mountedFrom(pid, device);
  if (fileSystem === "tmpfs") return "shmem";
  if (fileSystem === "hugetlbfs") return "hugetlb";
  return path.startsWith("/dev/") ? "special" : "file";
}

function mountedFrom(pid: number, device: string): string | undefined {
  const [major, minor] = device.split(":").map((part) => Number.parseInt(part, 16));
  try {
    for (const line of readProcFile(pid, "mountinfo").split("\n")) {
      const [mount, source] = line.split(" - ");
      if (source !== undefined && mount.split(" ")[2] === `${major}:${minor}`) return source.split(" ")[0];
    }
  } catch {
    // it has ended
  }
  return undefined;
}

/** What people call it. */
function nameOf({ path, deleted }: MapsEntry): string {
  if (!deleted) return path;
  if (path === "/dev/zero") return "shared anonymous";
  if (path.startsWith("/memfd:")) return path.slice(1);
  if (/^\/SYSV[0-9a-f]{8}$/.test(path)) return `SYSV 0x${path.slice(5)}`;
  return `${path} (deleted)`;
}
