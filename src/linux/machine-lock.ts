/**
 * A lock that is one on the whole machine. Swap is a thing of the machine, not of a process: whoever switches swap on
 * holds this lock, so that tests and tools wait for each other.
 */

import { closeSync, constants, existsSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { tryLock } from "./libc.ts";
import { fromNodeError, LinuxError } from "./linux-error.ts";

/** The lock file; it has the pid of who holds the lock. */
export const LOCK_PATH = join(existsSync("/run") ? "/run" : tmpdir(), "ptemark.lock");
const POLL_MS = 25;
const DEFAULT_WAIT_MS = 120_000;

export interface MachineLockOptions {
  /** How long to wait for another holder. */
  readonly waitMs?: number;
  /** The lock file; there is one for all by default. */
  readonly lockPath?: string;
}

export class MachineLock implements Disposable {
  /** The lock is held as long as this descriptor, or one inherited from it, is open. */
  readonly fd: number;
  #open = true;

  private constructor(fd: number) {
    this.fd = fd;
  }

  /**
   * Waits for the lock. Throws a {@link LinuxError} that names the holder when the time is up.
   *
   * Who waits holds another lock, that of the next in turn: so one that lets go and comes back at once finds it taken,
   * and does not overtake.
   */
  static async acquire({
    waitMs = DEFAULT_WAIT_MS,
    lockPath = LOCK_PATH,
  }: MachineLockOptions = {}): Promise<MachineLock> {
    const deadline = Date.now() + waitMs;
    const late = (): LinuxError => {
      const holder = readFileSync(lockPath, "utf8").trim();
      return new LinuxError({ call: `lock ${lockPath}`, needs: `process ${holder} to let it go` });
    };
    using _turn = await MachineLock.#wait(`${lockPath}.next`, deadline, late);
    return await MachineLock.#wait(lockPath, deadline, late);
  }

  static async #wait(path: string, deadline: number, late: () => LinuxError): Promise<MachineLock> {
    const lock = new MachineLock(openLockFile(path));
    try {
      while (!tryLock(lock.fd)) {
        if (Date.now() >= deadline) throw late();
        await sleep(POLL_MS);
      }
      ftruncateSync(lock.fd);
      writeSync(lock.fd, `${process.pid}\n`, 0);
      return lock;
    } catch (error) {
      lock[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.fd);
  }
}

function openLockFile(path: string): number {
  try {
    return openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o644);
  } catch (error) {
    throw fromNodeError(error, `open ${path}`, "root (swap is switched on and off by root only)");
  }
}
