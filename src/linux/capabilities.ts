/**
 * What this kernel and our privileges allow. Each feature is tried, on ourselves or a child of our own;
 * nothing is concluded from a version.
 */

import { closeSync, ftruncateSync, readFileSync, statSync } from "node:fs";
import { release } from "node:os";
import process from "node:process";
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PAGE_SIZE,
  PM_HI_SOFT_DIRTY,
  PROT_READ,
  PROT_WRITE,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
} from "../abi/index.ts";
import { findMemoryHierarchy } from "./cgroup.ts";
import { tryGuardOverArmedPage } from "./guard-hang.ts";
import { memfdCreate, mmap, munmap, type Pointer, viewOf } from "./libc.ts";
import { fromNodeError, LinuxError } from "./linux-error.ts";
import { type MapsEntry, mapFilesPath, readMaps } from "./maps.ts";
import { PageCacheView } from "./page-cache.ts";
import { PagemapFile, pagemapShowsFrames } from "./pagemap.ts";
import { PagemapScanner } from "./pagemap-scan.ts";
import { Pidfd } from "./pidfd.ts";
import { processMadvise } from "./process-madvise.ts";
import { readSwaps, readVmstat, type SwapArea } from "./procfs.ts";
import { type Capability, hasCapability, readStatus } from "./status.ts";
import { Userfaultfd } from "./userfaultfd.ts";
import { ZramSwap } from "./zram.ts";

/** One thing that is there or not. */
export interface Finding {
  readonly name: string;
  readonly available: boolean;
  /** What was seen. */
  readonly reason: string;
  /** What is lost without it. */
  readonly cost: string;
  /** How to get it; "" where nothing helps. */
  readonly remedy: string;
  /** What can't be done at all without it. */
  readonly neededFor?: Ability;
  /** What can be done in part only without it. */
  readonly limits?: Ability;
}

/** To tell where pages are, and to arm them so that pagemap shows it. Who can't look can't attach. */
export type Ability = "looking" | "attaching";

export interface Capabilities {
  /** The running kernel's release, as `uname -r` tells it. */
  readonly kernel: string;
  readonly findings: readonly Finding[];
}

/**
 * How a thing is looked for: `look` tells what it saw, or throws a {@link LinuxError} that tells why it is
 * not there.
 */
export interface Probe extends Omit<Finding, "available" | "reason"> {
  readonly look: () => string;
}

export function tryProbe({ look, ...about }: Probe): Finding {
  try {
    return { ...about, available: true, reason: look() };
  } catch (error) {
    if (!(error instanceof LinuxError)) throw error;
    return { ...about, available: false, reason: error.message };
  }
}

/** What a look found missing, where no call failed. */
export function missing(what: string): LinuxError {
  return new LinuxError({ call: what });
}

/**
 * Tries all there is to try of the machine. Takes a fifth of a second: one of the trials is whether a call
 * hangs.
 */
export function capabilities(): Capabilities {
  return { kernel: release(), findings: [...LOOKING, ...ATTACHING, ...MOVING].map(tryProbe) };
}

const ROOT = "run as root (sudo), or with";

/** What it takes to see where pages are. */
const LOOKING: readonly Probe[] = [
  {
    name: "pagemap",
    neededFor: "looking",
    cost: "nothing can be told of any process",
    remedy: "a kernel with CONFIG_PROC_PAGE_MONITOR",
    look() {
      using pagemap = PagemapFile.open(process.pid);
      if (pagemap.read(0, new Uint32Array(2)) !== 1) throw missing("/proc/self/pagemap reads as empty");
      return "/proc/PID/pagemap can be read";
    },
  },
  {
    name: "other users' processes",
    limits: "looking",
    cost: "only processes of this user can be looked at",
    remedy: `${ROOT} CAP_SYS_PTRACE`,
    look: () => privilege("SYS_PTRACE"),
  },
  {
    name: "swap entries shown",
    limits: "looking",
    cost: "in private memory, a marker (guard region, poison) can't be told from a page in swap by its type",
    remedy: `${ROOT} CAP_SYS_ADMIN in the initial user namespace`,
    look() {
      if (!pagemapShowsFrames()) throw missing("frame numbers and swap entries read as 0");
      return "pagemap shows frame numbers, swap types and offsets";
    },
  },
  {
    name: "map_files",
    limits: "looking",
    cost: "shared memory without a name (MAP_ANONYMOUS, SysV) can't be asked; memfds and files can",
    remedy: `${ROOT} CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN`,
    look: lookAtMapFiles,
  },
  {
    name: "cachestat",
    limits: "looking",
    cost: "pages in the swap cache can't be told from those in the page cache, nor reserved ones from holes",
    remedy: "Linux 6.5 or later",
    look: lookAtCachestat,
  },
  {
    name: "other users' objects",
    limits: "looking",
    cost: "objects that one neither owns nor may write can't be asked: the kernel says that all is in memory",
    remedy: `${ROOT} CAP_FOWNER`,
    look: () => privilege("FOWNER"),
  },
  {
    name: "swap-in counters",
    cost: "what was found to be in swap has to be asked again each time",
    remedy: "a kernel with CONFIG_VM_EVENT_COUNTERS and CONFIG_SWAP",
    look() {
      const vmstat = readVmstat();
      const counters = ["pswpin", "zswpin", "swpin_zero"].filter((name) => name in vmstat);
      if (!counters.includes("pswpin")) throw missing("/proc/vmstat has no pswpin");
      return `/proc/vmstat counts ${counters.join(", ")}`;
    },
  },
  {
    name: "soft-dirty",
    cost: "nothing here needs it: attach tells what was written by other means",
    remedy: "a kernel with CONFIG_MEM_SOFT_DIRTY",
    look: lookAtSoftDirty,
  },
];

/** What it takes to attach. */
const ATTACHING: readonly Probe[] = [
  {
    name: "PAGEMAP_SCAN",
    neededFor: "attaching",
    cost: "attach can't arm pages",
    remedy: "Linux 6.7 or later",
    look() {
      using pagemap = PagemapFile.open(process.pid);
      new PagemapScanner({ regionsMax: 1 }).apply(pagemap, { start: 0, end: PAGE_SIZE });
      return "pagemap takes the ioctl";
    },
  },
  {
    name: "userfaultfd",
    neededFor: "attaching",
    cost: "attach can't work",
    remedy: `a kernel with CONFIG_USERFAULTFD; ${ROOT} CAP_SYS_PTRACE`,
    look() {
      using _probe = Userfaultfd.create();
      const sysctl = setting("/proc/sys/vm/unprivileged_userfaultfd") ?? "unknown";
      return `can be made (the sysctl vm.unprivileged_userfaultfd is ${sysctl})`;
    },
  },
  {
    name: "write-protection of shared memory",
    neededFor: "attaching",
    cost: "attach can't work: nothing leaves markers in shared memory",
    remedy: "Linux 5.19 or later, with CONFIG_PTE_MARKER_UFFD_WP",
    look: () => offered(UFFD_FEATURE_WP_HUGETLBFS_SHMEM, "UFFD_FEATURE_WP_HUGETLBFS_SHMEM"),
  },
  {
    name: "asynchronous write-protection",
    neededFor: "attaching",
    cost: "attach can't work: a process that writes would wait for us",
    remedy: "Linux 6.7 or later",
    look: () => offered(UFFD_FEATURE_WP_ASYNC, "UFFD_FEATURE_WP_ASYNC"),
  },
  {
    name: "pidfd_getfd",
    neededFor: "attaching",
    cost: "attach can't work: the userfaultfd made in a process can't be fetched",
    remedy: "Linux 5.6 or later",
    look() {
      using pidfd = Pidfd.open(process.pid);
      using object = new OwnObject();
      closeSync(pidfd.getfd(object.fd));
      return "a descriptor can be fetched from another process";
    },
  },
  {
    name: "guard regions over armed pages",
    limits: "attaching",
    cost: "a process that makes guard regions (MADV_GUARD_INSTALL) while attached hangs and must be killed",
    remedy:
      "a kernel in which the call returns; until then, don't attach to processes that use guard regions",
    look: lookAtGuardRegions,
  },
];

/** What it takes to page out, and where to. */
const MOVING: readonly Probe[] = [
  {
    name: "process_madvise",
    cost: "pages can't be paged out from outside",
    remedy: `Linux 5.10 or later; ${ROOT} CAP_SYS_NICE and CAP_SYS_PTRACE`,
    look() {
      using pidfd = Pidfd.open(process.pid);
      using object = new OwnObject();
      processMadvise(pidfd, [object.entry], "COLD");
      return privilege("SYS_NICE");
    },
  },
  {
    name: "swap",
    cost: "nothing is swapped out",
    remedy: "mkswap and swapon, or zram",
    look: lookAtSwap,
  },
  {
    name: "zram",
    cost: "the functional test and run --backend linux can't make a swap device of their own",
    remedy: "a kernel with CONFIG_ZRAM (modprobe zram), and root",
    look() {
      const obstacle = ZramSwap.obstacle();
      if (obstacle !== undefined) throw missing(`it takes ${obstacle}`);
      return "devices can be added (/sys/class/zram-control)";
    },
  },
  {
    name: "memory cgroups",
    cost: "memory can't be limited to push a process's pages out",
    remedy: "a kernel with CONFIG_MEMCG, and its file system mounted",
    look: lookAtCgroups,
  },
];

function privilege(capability: Capability): string {
  if (!hasCapability(readStatus(process.pid), capability)) throw missing(`we lack CAP_${capability}`);
  return `we have CAP_${capability}`;
}

/** A memfd of ours, of one page, mapped here and never touched. */
class OwnObject implements Disposable {
  readonly fd = memfdCreate("ptemark-probe");
  readonly entry: MapsEntry;
  readonly #pointer: Pointer;

  constructor() {
    ftruncateSync(this.fd, PAGE_SIZE);
    this.#pointer = mmap({ lengthBytes: PAGE_SIZE, prot: PROT_READ, flags: MAP_SHARED, fd: this.fd });
    const isIt = ({ start }: MapsEntry) => start === Number(this.#pointer);
    this.entry = readMaps(process.pid).find(isIt) as MapsEntry;
  }

  [Symbol.dispose](): void {
    munmap(this.#pointer, PAGE_SIZE);
    closeSync(this.fd);
  }
}

function lookAtMapFiles(): string {
  using object = new OwnObject();
  const path = mapFilesPath(process.pid, object.entry);
  try {
    statSync(path);
  } catch (error) {
    throw fromNodeError(error, `follow ${path}`);
  }
  return "links of /proc/PID/map_files can be followed";
}

function lookAtCachestat(): string {
  using object = new OwnObject();
  using view = PageCacheView.open(process.pid, object.entry);
  if (view.cachestatRefusal !== "") throw missing(`cachestat: ${view.cachestatRefusal}`);
  return "counts pages of an object of our own";
}

/** A new mapping is soft-dirty as a whole, where the kernel knows the bit. */
function lookAtSoftDirty(): string {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS;
  const pointer = mmap({ lengthBytes: PAGE_SIZE, prot: PROT_READ | PROT_WRITE, flags, fd: -1 });
  try {
    new Uint8Array(viewOf(pointer, PAGE_SIZE))[0] = 1;
    using pagemap = PagemapFile.open(process.pid);
    const words = new Uint32Array(2);
    pagemap.read(Number(pointer) / PAGE_SIZE, words);
    if ((words[1] & PM_HI_SOFT_DIRTY) === 0) throw missing("a page just written is not soft-dirty");
    return "a page just written is soft-dirty";
  } finally {
    munmap(pointer, PAGE_SIZE);
  }
}

function offered(feature: number, name: string): string {
  if ((Userfaultfd.offeredFeatures() & feature) === 0) throw missing(`userfaultfd does not offer ${name}`);
  return `userfaultfd offers ${name}`;
}

function lookAtGuardRegions(): string {
  switch (tryGuardOverArmedPage()) {
    case "hangs":
      throw missing("MADV_GUARD_INSTALL over a write-protected page never returns (tried in a child)");
    case "done":
      return "MADV_GUARD_INSTALL over a write-protected page returns";
    case "refused":
      return "this kernel has no guard regions in shared memory";
  }
}

function lookAtSwap(): string {
  const areas = readSwaps();
  if (areas.length === 0) throw missing("no swap area is in use");
  const zswap = setting("/sys/module/zswap/parameters/enabled") === "Y" ? "; zswap is on" : "";
  return `${areas.map(describeSwapArea).join("; ")}${zswap}`;
}

function describeSwapArea({ path, sizeBytes, usedBytes }: SwapArea): string {
  const kind = /^\/dev\/zram\d+$/.test(path)
    ? "zram, which leaves no copies in the swap cache"
    : "with copies in the swap cache";
  const mib = (bytes: number) => Math.round(bytes / 2 ** 20);
  return `${path}: ${mib(usedBytes)} of ${mib(sizeBytes)} MiB used (${kind})`;
}

function lookAtCgroups(): string {
  const hierarchy = findMemoryHierarchy(readFileSync("/proc/self/mountinfo", "utf8"));
  if (hierarchy === undefined) throw missing("no mounted cgroup hierarchy has the memory controller");
  return `version ${hierarchy.version}, at ${hierarchy.path}`;
}

/** A small file's text; undefined if there is none, or none for us. */
function setting(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}
