/**
 * What the detectors rely on and no document promises, tried out on memory of our own. Each is asked once a
 * process. A premise that doesn't hold makes the answers dearer, not wrong: then objects are asked again each
 * time.
 */

import { closeSync, existsSync, fstatSync, readFileSync, writeSync } from "node:fs";
import process from "node:process";
import {
  MADV,
  MAP_SHARED,
  PAGE_SIZE,
  PM_HI_PRESENT,
  PM_HI_SWAP,
  PROT_READ,
  PROT_WRITE,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
} from "../abi/index.ts";
import { LinuxError, PageCacheView, PagemapFile, readMaps, readSwaps, Userfaultfd } from "../linux/index.ts";
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  fallocate,
  madvise,
  memfdCreate,
  mmap,
  munmap,
  viewOf,
} from "../linux/libc.ts";

/**
 * What brings bytes from swap into memory, by the names of `/proc/vmstat`: reads from a device, from zswap,
 * of pages that are known to be zero (6.13); and zswap's own write-back, which puts pages in the swap cache
 * on their way to the device.
 */
const READ_COUNTERS = ["pswpin", "zswpin", "swpin_zero", "zswpwb"];
const ZSWAP_ENABLED = "/sys/module/zswap/parameters/enabled";

/** The same of what is written to swap. */
const WRITE_COUNTERS = ["pswpout", "zswpout", "swpout_zero"];

/** Pages read from swap since boot, on the whole machine; undefined if this kernel does not count them. */
export function countSwapIns(): number | undefined {
  return sumOf(READ_COUNTERS);
}

/** Pages written to swap since boot. */
export function countSwapOuts(): number | undefined {
  return sumOf(WRITE_COUNTERS);
}

/** The sum of those counters of `/proc/vmstat` that this kernel has. */
function sumOf(counters: readonly string[]): number | undefined {
  const text = readFileSync("/proc/vmstat", "latin1");
  let sum: number | undefined;
  for (const name of counters) {
    const at = text.indexOf(`\n${name} `);
    if (at >= 0) sum = (sum ?? 0) + Number.parseInt(text.slice(at + name.length + 2), 10);
  }
  return sum;
}

/** undefined: not tried yet. */
let areCounted: boolean | undefined;
let areStamped: boolean | undefined;

/**
 * Whether a read from swap raises {@link countSwapIns}. Found out, once there is swap, by swapping a page of
 * ours out and in. Not where swap is a disk: to read a page from there brings its neighbours along, and they
 * may be anyone's. The exact detector also notices when pages come back without a count.
 */
export function swapInsAreCounted(): boolean {
  if (areCounted === undefined) {
    if (countSwapIns() === undefined || zswapWritesBackUncounted()) areCounted = false;
    else {
      const areas = readSwaps();
      if (areas.length === 0) return true;
      areCounted = areas.every(({ path }) => path.startsWith("/dev/zram")) ? tryReadFromSwap() : true;
    }
  }
  return areCounted;
}

function zswapWritesBackUncounted(): boolean {
  if (readFileSync("/proc/vmstat", "latin1").includes("\nzswpwb ")) return false;
  return existsSync(ZSWAP_ENABLED) && readFileSync(ZSWAP_ENABLED, "latin1").startsWith("Y");
}

function tryReadFromSwap(): boolean {
  using page = new OwnPage();
  page.bytes.fill(0xa5);
  page.bytes[0] = process.pid & 0xff; // not a page of one value
  madvise(page.pointer, PAGE_SIZE, MADV.PAGEOUT);
  using view = page.view();
  const resident = new Uint8Array(1);
  view.mincore(0, 1, resident);
  if (view.cachestat(0, 1)?.evicted !== 1 || (resident[0] & 1) !== 0) return true;
  const before = countSwapIns() ?? 0;
  return page.bytes[1] === 0xa5 && (countSwapIns() ?? 0) > before;
}

const TICK_MS = 2;
const TICKS_MAX = 20;

/**
 * Whether a hole that is punched is seen in an object's number of blocks, and, a tick of the clock later, in
 * its ctime.
 */
export function removalsAreStamped(): boolean {
  areStamped ??= tryRemoval();
  return areStamped;
}

function tryRemoval(): boolean {
  using page = new OwnPage();
  for (let tick = 0; tick < TICKS_MAX; tick++) {
    writeSync(page.fd, new Uint8Array(PAGE_SIZE).fill(1), 0, PAGE_SIZE, 0);
    const before = fstatSync(page.fd, { bigint: true });
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, TICK_MS);
    fallocate(page.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE_SIZE);
    const after = fstatSync(page.fd, { bigint: true });
    if (after.blocks >= before.blocks) return false;
    if (after.ctimeNs > before.ctimeNs) return true;
  }
  return false;
}

let markers: number | undefined;

/**
 * The swap type of PTE markers: that of a page of ours which was write-protected before it was touched. Where
 * that can't be done, the highest type, which it is since 6.2.
 */
export function markerSwapType(): number {
  markers ??= tryMarker() ?? 31;
  return markers;
}

function tryMarker(): number | undefined {
  try {
    using page = new OwnPage();
    using userfaultfd = Userfaultfd.create();
    userfaultfd.handshake({ required: UFFD_FEATURE_WP_HUGETLBFS_SHMEM });
    userfaultfd.register(page.address, PAGE_SIZE);
    userfaultfd.writeProtect(page.address, PAGE_SIZE, "protect");
    using pagemap = PagemapFile.open(process.pid);
    const words = new Uint32Array(2);
    pagemap.read(page.address / PAGE_SIZE, words);
    const [lo, hi] = words;
    return (hi & PM_HI_SWAP) !== 0 && (hi & PM_HI_PRESENT) === 0 ? lo & 31 : undefined;
  } catch (error) {
    if (error instanceof LinuxError) return undefined;
    throw error;
  }
}

/** A page of shared memory of this process. */
class OwnPage implements Disposable {
  readonly fd = memfdCreate("ptemark-premise");
  readonly pointer: bigint;
  readonly bytes: Uint8Array;

  constructor() {
    writeSync(this.fd, new Uint8Array(1), 0, 1, PAGE_SIZE - 1); // its length
    fallocate(this.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE_SIZE);
    const prot = PROT_READ | PROT_WRITE;
    this.pointer = mmap({ lengthBytes: PAGE_SIZE, prot, flags: MAP_SHARED, fd: this.fd });
    this.bytes = new Uint8Array(viewOf(this.pointer, PAGE_SIZE));
  }

  get address(): number {
    return Number(this.pointer);
  }

  view(): PageCacheView {
    const entry = readMaps(process.pid).find(({ start, end }) => start <= this.address && this.address < end);
    if (entry === undefined) throw new LinuxError({ call: "maps", needs: "our own mapping in it" });
    return PageCacheView.open(process.pid, entry);
  }

  [Symbol.dispose](): void {
    munmap(this.pointer, PAGE_SIZE);
    closeSync(this.fd);
  }
}
