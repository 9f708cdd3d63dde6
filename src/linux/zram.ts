/**
 * Swap on a zram device of our own: compressed memory that the kernel reads from and writes to synchronously, so that
 * it leaves no copy in the swap cache. Source: `Documentation/admin-guide/blockdev/zram.rst` (6.18).
 */

import { execFileSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { readAttribute, writeAttribute } from "./attribute.ts";
import { type Guard, quoted, retried } from "./guard.ts";
import { LinuxError } from "./linux-error.ts";
import type { MachineLockOptions } from "./machine-lock.ts";
import { checkSwapSize, makeHeld, type SwapHold, SwapSpace } from "./swap-space.ts";

const CONTROL = "/sys/class/zram-control";

export interface ZramSwapOptions extends MachineLockOptions {
  /** Of uncompressed data; a multiple of the page size. Memory is taken as pages are written. */
  readonly sizeBytes: number;
  /** One of /sys/block/zramN/comp_algorithm ("lzo-rle", "lz4" ...); the kernel's choice if not given. */
  readonly algorithm?: string;
}

/** From mm_stat. */
export interface ZramUsage {
  readonly storedBytes: number;
  readonly compressedBytes: number;
  /** Memory taken, with what the allocator wastes. */
  readonly memoryBytes: number;
  /** Pages that did not compress and are stored as they are. */
  readonly hugePages: number;
}

export class ZramSwap extends SwapSpace {
  /** Of the device: "/dev/zram1". */
  readonly path: string;
  /** The algorithm in use. */
  readonly algorithm: string;
  readonly #attributes: string;

  private constructor(options: ZramSwapOptions, hold: SwapHold) {
    super(hold);
    const { guard } = hold;
    // Reading it is what adds a device.
    const id = Number(readAttribute(`${CONTROL}/hot_add`));
    this.#attributes = `/sys/block/zram${id}`;
    // udev, and the last unmap, may still hold it for a moment after swapoff.
    guard.add(`if [ -e ${this.#attributes} ]; then ${retried(`echo ${id} > ${CONTROL}/hot_remove`)}; fi`);
    if (options.algorithm !== undefined) {
      const offered = readAttribute(`${this.#attributes}/comp_algorithm`);
      const needs = `an algorithm of this kernel: ${offered.replaceAll(/[[\]]/g, "")}`;
      writeAttribute(`${this.#attributes}/comp_algorithm`, options.algorithm, needs);
    }
    writeAttribute(`${this.#attributes}/disksize`, options.sizeBytes);
    this.algorithm = /\[(.+)\]/.exec(readAttribute(`${this.#attributes}/comp_algorithm`))?.[1] ?? "";
    this.path = deviceNode(id, guard);
    this.setUp(options.sizeBytes);
  }

  /** What is missing on this machine or to this process; undefined if a device can be made. */
  static obstacle(): string | undefined {
    if (process.geteuid?.() !== 0) return "root (CAP_SYS_ADMIN, for swapon and zram)";
    if (!existsSync(CONTROL)) return "a kernel with zram (try: modprobe zram)";
    try {
      accessSync(`${CONTROL}/hot_remove`, constants.W_OK);
    } catch {
      return `a writable ${CONTROL} (sysfs is mounted read-only)`;
    }
    return undefined;
  }

  /**
   * Waits for the machine lock, adds a device and switches swap on.
   * Throws a {@link LinuxError} for want of privilege or of zram, or if another holds the lock all the time.
   */
  static async create(options: ZramSwapOptions): Promise<ZramSwap> {
    checkSwapSize(options.sizeBytes);
    const needs = ZramSwap.obstacle();
    if (needs !== undefined) throw new LinuxError({ call: "zram", needs });
    return makeHeld(options, (hold) => new ZramSwap(options, hold));
  }

  usage(): ZramUsage {
    const fields = readAttribute(`${this.#attributes}/mm_stat`).split(/\s+/).map(Number);
    const [storedBytes = 0, compressedBytes = 0, memoryBytes = 0] = fields;
    return { storedBytes, compressedBytes, memoryBytes, hugePages: fields[7] ?? 0 };
  }
}

/** devtmpfs makes the node; where /dev is something else, we do. */
function deviceNode(id: number, guard: Guard): string {
  const path = `/dev/zram${id}`;
  if (existsSync(path)) return path;
  const folder = mkdtempSync(join(tmpdir(), "ptemark-zram-"));
  guard.add(`rm -rf ${quoted(folder)}`);
  const [major, minor] = readAttribute(`/sys/block/zram${id}/dev`).split(":");
  const made = join(folder, `zram${id}`);
  execFileSync("mknod", [made, "b", major, minor]);
  return made;
}
