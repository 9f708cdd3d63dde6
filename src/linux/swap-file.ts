/**
 * Swap in a file on a disk. The kernel writes to it and reads from it asynchronously, and keeps pages in the
 * swap cache meanwhile and after, which a zram device never shows.
 */

import { closeSync, fsyncSync, mkdtempSync, openSync, statfsSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { quoted } from "./guard.ts";
import { fromNodeError, LinuxError } from "./linux-error.ts";
import type { MachineLockOptions } from "./machine-lock.ts";
import { checkSwapSize, makeHeld, type SwapHold, SwapSpace } from "./swap-space.ts";

/** Filesystems on a disk that take a swap file as it is written (`include/uapi/linux/magic.h`). */
const DISK_FILESYSTEMS = new Map([
  [0xef53, "ext4"],
  [0x58465342, "xfs"],
  [0xf2f52010, "f2fs"],
]);

const CHUNK_BYTES = 1 << 20;

export interface SwapFileOptions extends MachineLockOptions {
  /** A multiple of the page size. */
  readonly sizeBytes: number;
  /** The file to make; by default one in a temporary folder that is on a disk. */
  readonly path?: string;
}

export class SwapFile extends SwapSpace {
  readonly path: string;

  private constructor({ sizeBytes, path }: SwapFileOptions, hold: SwapHold) {
    super(hold);
    const { guard } = hold;
    if (path === undefined) {
      const folder = mkdtempSync(join(diskFolder(), "ptemark-swap-"));
      guard.add(`rm -rf ${quoted(folder)}`);
      this.path = join(folder, "swapfile");
    } else {
      this.path = resolve(path);
      checkOnDisk(dirname(this.path));
    }
    const fd = create(this.path);
    try {
      guard.add(`rm -f ${quoted(this.path)}`);
      writeZeros(fd, sizeBytes);
    } finally {
      closeSync(fd);
    }
    this.setUp(sizeBytes);
  }

  /** What is missing on this machine or to this process; undefined if a swap file can be made. */
  static obstacle(): string | undefined {
    if (process.geteuid?.() !== 0) return "root (CAP_SYS_ADMIN, for swapon)";
    return findDiskFolder() === undefined ? NO_DISK : undefined;
  }

  /**
   * Waits for the machine lock, writes the file in full (a swap file has no holes) and switches swap on.
   * Throws a {@link LinuxError} for want of privilege or of a disk, or if another holds the lock all the
   * time.
   */
  static async create(options: SwapFileOptions): Promise<SwapFile> {
    checkSwapSize(options.sizeBytes);
    return makeHeld(options, (hold) => new SwapFile(options, hold));
  }
}

const NO_DISK =
  `a folder on ${[...DISK_FILESYSTEMS.values()].join(", ")} ` +
  "(none of $TMPDIR, /var/tmp, the current folder is; give one)";

function isOnDisk(folder: string): boolean {
  return DISK_FILESYSTEMS.has(statfsSync(folder).type);
}

function findDiskFolder(): string | undefined {
  return [tmpdir(), "/var/tmp", process.cwd()].find((folder) => {
    try {
      return isOnDisk(folder);
    } catch {
      return false; // no such folder
    }
  });
}

function diskFolder(): string {
  const folder = findDiskFolder();
  if (folder === undefined) throw new LinuxError({ call: "swap file", needs: NO_DISK });
  return folder;
}

function checkOnDisk(folder: string): void {
  if (!isOnDisk(folder)) throw new LinuxError({ call: `swap file in ${folder}`, needs: NO_DISK });
}

function create(path: string): number {
  try {
    return openSync(path, "wx", 0o600);
  } catch (error) {
    throw fromNodeError(error, `create ${path}`);
  }
}

function writeZeros(fd: number, sizeBytes: number): void {
  const zeros = new Uint8Array(CHUNK_BYTES);
  for (let at = 0; at < sizeBytes; ) at += writeSync(fd, zeros, 0, Math.min(CHUNK_BYTES, sizeBytes - at), at);
  fsyncSync(fd);
}
