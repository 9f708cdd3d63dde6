/**
 * Code that a process has mapped already, found by its bytes: what a thread needs to make a system call and
 * come back.
 */

import { LinuxError } from "./linux-error.ts";
import type { MapsEntry } from "./maps.ts";
import { readMemory } from "./process-memory.ts";

/** `syscall; ret` */
const SYSCALL_RETURN = Uint8Array.of(0x0f, 0x05, 0xc3);
/** `mov $15, %rax; syscall` and `mov $15, %eax; syscall`: what signal handlers return to. */
const RESTORERS = [
  Uint8Array.of(0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05),
  Uint8Array.of(0xb8, 15, 0, 0, 0, 0x0f, 0x05),
];
const LONGEST = 9;

/** Addresses of code in another process. */
export interface TargetCode {
  /** `syscall; ret` */
  readonly syscallReturn: number;
  /** Makes the call rt_sigreturn. */
  readonly restorer: number;
}

const CHUNK_BYTES = 2 ** 18;

/** glibc or musl first: they have both. */
function libcFirst(maps: readonly MapsEntry[]): MapsEntry[] {
  const isLibc = ({ path }: MapsEntry) => /\/(libc|ld-musl)[^/]*$/.test(path);
  const code = maps.filter(({ exec, read, path }) => exec && read && path !== "[vsyscall]");
  return [...code.filter(isLibc), ...code.filter((entry) => !isLibc(entry))];
}

/** Looks through the process's code for what is needed; undefined where it is not all there. */
export function findTargetCode(pid: number, maps: readonly MapsEntry[]): TargetCode | undefined {
  let syscallReturn = -1;
  let restorer = -1;
  const buffer = Buffer.alloc(CHUNK_BYTES);
  for (const { start, end } of libcFirst(maps)) {
    for (let at = start; at < end; at += CHUNK_BYTES - LONGEST) {
      const bytes = readCode(pid, at, buffer.subarray(0, Math.min(CHUNK_BYTES, end - at)));
      const found = (needle: Uint8Array) => {
        const offset = bytes.indexOf(needle);
        return offset < 0 ? -1 : at + offset;
      };
      if (syscallReturn < 0) syscallReturn = found(SYSCALL_RETURN);
      for (const needle of RESTORERS) if (restorer < 0) restorer = found(needle);
      if (syscallReturn >= 0 && restorer >= 0) return { syscallReturn, restorer };
    }
  }
  return undefined;
}

/** Whether the code is still there. */
export function hasTargetCode(pid: number, { syscallReturn, restorer }: TargetCode): boolean {
  const isAt = (needle: Uint8Array, address: number) => {
    return readCode(pid, address, Buffer.alloc(needle.length)).equals(needle);
  };
  return isAt(SYSCALL_RETURN, syscallReturn) && RESTORERS.some((needle) => isAt(needle, restorer));
}

/** What can be read there: nothing where nothing is mapped (any more). */
function readCode(pid: number, address: number, buffer: Buffer): Buffer {
  try {
    return buffer.subarray(0, readMemory(pid, address, buffer));
  } catch (error) {
    if (error instanceof LinuxError && error.code === "EFAULT") return buffer.subarray(0, 0);
    throw error;
  }
}
