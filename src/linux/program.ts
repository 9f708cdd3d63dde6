/** The program that a process runs. Source: `include/uapi/linux/elf.h` (6.18). */

import { closeSync, openSync, readSync } from "node:fs";
import { procError } from "./procfs.ts";

const EI_CLASS = 4;
const ELFCLASS64 = 2;
const E_MACHINE = 18;
const EM_X86_64 = 62;

/**
 * Whether a process runs a program for 64-bit x86, by its ELF header. `pid` may be a thread's too.
 * Throws a LinuxError: ESRCH if there is no such process, EACCES without ptrace read access.
 */
export function isNativeProgram(pid: number): boolean {
  const path = `/proc/${pid}/exe`;
  const header = Buffer.alloc(20);
  try {
    const fd = openSync(path, "r");
    readSync(fd, header, 0, header.length, 0);
    closeSync(fd);
  } catch (error) {
    throw procError(error, pid, path);
  }
  return header[EI_CLASS] === ELFCLASS64 && header.readUInt16LE(E_MACHINE) === EM_X86_64;
}
