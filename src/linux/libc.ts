/**
 * The C functions and system calls that are made through koffi: this is the only file that loads it. Pointers
 * into this process are bigints and carry no type; addresses in another process are numbers (user addresses
 * are below 2^47). What node:fs does as well is left to node:fs.
 *
 * A failing call throws a {@link LinuxError} with errno's name; the functions whose name ends in `Raw` return
 * minus errno.
 */

import "./require-linux.ts"; // before koffi, which may have nothing for another platform

import koffi from "koffi";
import { errnoNameOf, LinuxError } from "./linux-error.ts";

const libc = koffi.load(null); // what node itself is linked with: glibc or musl

/** A pointer into this process. */
export type Pointer = bigint;

const MAP_FAILED = 2n ** 64n - 1n;

/**
 * Numbers of x86-64 (`arch/x86/entry/syscalls/syscall_64.tbl`, 6.18), for {@link syscallRaw} and remote
 * calls.
 */
export const SYS = {
  read: 0,
  write: 1,
  open: 2,
  close: 3,
  mmap: 9,
  mprotect: 10,
  munmap: 11,
  rt_sigaction: 13,
  rt_sigreturn: 15,
  ioctl: 16,
  pread64: 17,
  pwrite64: 18,
  sched_yield: 24,
  mremap: 25,
  mincore: 27,
  madvise: 28,
  dup: 32,
  pause: 34,
  getpid: 39,
  clone: 56,
  exit: 60,
  kill: 62,
  ftruncate: 77,
  prctl: 157,
  gettid: 186,
  restart_syscall: 219,
  exit_group: 231,
  sched_setaffinity: 203,
  sched_getaffinity: 204,
  tgkill: 234,
  waitid: 247,
  move_pages: 279,
  fallocate: 285,
  getcpu: 309,
  process_vm_readv: 310,
  process_vm_writev: 311,
  memfd_create: 319,
  userfaultfd: 323,
  pidfd_send_signal: 424,
  pidfd_open: 434,
  close_range: 436,
  pidfd_getfd: 438,
  process_madvise: 440,
  cachestat: 451,
} as const;

const syscallC = libc.func(
  "int64_t syscall(int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)",
);
const ioctlC = libc.func("int ioctl(int fd, uint64_t request, void *argument)");
const mmapC = libc.func("void *mmap(void *addr, size_t length, int prot, int flags, int fd, int64_t offset)");
const munmapC = libc.func("int munmap(void *addr, size_t length)");
const madviseC = libc.func("int madvise(void *addr, size_t length, int advice)");
const mincoreC = libc.func("int mincore(void *addr, size_t length, _Out_ uint8_t *vec)");
const lseekC = libc.func("int64_t lseek(int fd, int64_t offset, int whence)");
const memfdCreateC = libc.func("int memfd_create(const char *name, unsigned int flags)");
const fallocateC = libc.func("int fallocate(int fd, int mode, int64_t offset, int64_t length)");
const swaponC = libc.func("int swapon(const char *path, int flags)");
const swapoffC = libc.func("int swapoff(const char *path)");
const flockC = libc.func("int flock(int fd, int operation)");
const pipe2C = libc.func("int pipe2(_Out_ int *fds, int flags)");
const ptraceC = libc.func("int64_t ptrace(int64_t request, int pid, uint64_t addr, uint64_t data)");
const waitpidC = libc.func("int waitpid(int pid, _Out_ int *status, int options)");
const posixSpawnC = libc.func(
  "int posix_spawn(_Out_ int *pid, const char *path, void *actions, void *attributes, " +
    "const char **argv, const char **envp)",
);

function lastErrno(): number {
  return koffi.errno();
}

/** The error of a call that has just failed. */
function failure(call: string, errno = lastErrno(), needs = ""): LinuxError {
  return new LinuxError({ code: errnoNameOf(errno), call, needs });
}

/** Throws if a call that returns -1 on failure has failed. */
function checked(call: string, result: number): number {
  if (result < 0) throw failure(call);
  return result;
}

/** A system call by number; returns its result, or minus errno. */
export function syscallRaw(number: number, ...args: readonly (number | bigint)[]): number {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = args;
  const result = Number(syscallC(number, a, b, c, d, e, f));
  return result === -1 ? -lastErrno() : result;
}

/** A system call by number. `call` names it in the error; `needs` tells for an errno what is missing. */
export function syscall(
  call: string,
  number: number,
  args: readonly (number | bigint)[],
  needs: Readonly<Record<string, string>> = {},
): number {
  const result = syscallRaw(number, ...args);
  if (result >= 0) return result;
  throw failure(call, -result, needs[errnoNameOf(-result)] ?? "");
}

/** `ioctl` with a typed array as its argument, in and out. Returns its result, or minus errno. */
export function ioctlRaw(fd: number, request: number, argument: NodeJS.TypedArray): number {
  const result = ioctlC(fd, request, argument) as number;
  return result < 0 ? -lastErrno() : result;
}

/** The address of a typed array's first byte. Keep the array referenced for as long as the kernel uses it. */
export function addressOf(array: NodeJS.TypedArray): Pointer {
  return koffi.address(array) as bigint;
}

export interface MmapArguments {
  readonly lengthBytes: number;
  readonly prot: number;
  readonly flags: number;
  /** -1 for anonymous memory. */
  readonly fd: number;
  readonly offsetBytes?: number;
}

export function mmap({ lengthBytes, prot, flags, fd, offsetBytes = 0 }: MmapArguments): Pointer {
  const pointer = mmapC(null, lengthBytes, prot, flags, fd, offsetBytes) as bigint | null;
  if (pointer === null || BigInt.asUintN(64, BigInt(pointer)) === MAP_FAILED) throw failure("mmap");
  return BigInt(pointer);
}

export function munmap(pointer: Pointer, lengthBytes: number): void {
  checked("munmap", munmapC(pointer, lengthBytes));
}

export function madvise(pointer: Pointer, lengthBytes: number, advice: number): void {
  checked("madvise", madviseC(pointer, lengthBytes, advice));
}

/** Fills one byte a page; bit 0 says whether the page is in memory (page cache or swap cache). */
export function mincore(pointer: Pointer, lengthBytes: number, resident: Uint8Array): void {
  checked("mincore", mincoreC(pointer, lengthBytes, resident));
}

/** An ArrayBuffer over this process's memory, not copied. It must not be used after munmap. */
export function viewOf(pointer: Pointer, lengthBytes: number): ArrayBuffer {
  return koffi.view(pointer, lengthBytes) as ArrayBuffer;
}

export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

/** Returns the new offset, or minus errno (ENXIO: no data from there on). */
export function lseekRaw(fd: number, offsetBytes: number, whence: number): number {
  const result = Number(lseekC(fd, offsetBytes, whence));
  return result < 0 ? -lastErrno() : result;
}

const MFD_CLOEXEC = 1;

export function memfdCreate(name: string): number {
  return checked("memfd_create", memfdCreateC(name, MFD_CLOEXEC));
}

export const FALLOC_FL_KEEP_SIZE = 1;
export const FALLOC_FL_PUNCH_HOLE = 2;

export function fallocate(fd: number, mode: number, offsetBytes: number, lengthBytes: number): void {
  checked("fallocate", fallocateC(fd, mode, offsetBytes, lengthBytes));
}

const SWAP_FLAG_PREFER = 0x8000;

/** `priority` 0 to 32767; the highest is used first. */
export function swapon(path: string, priority: number): void {
  checked(`swapon ${path}`, swaponC(path, SWAP_FLAG_PREFER | priority));
}

export function swapoff(path: string): void {
  checked(`swapoff ${path}`, swapoffC(path));
}

const LOCK_EX = 2;
const LOCK_NB = 4;

/** Takes an exclusive lock that goes with the descriptor. false: another has it. */
export function tryLock(fd: number): boolean {
  if (flockC(fd, LOCK_EX | LOCK_NB) === 0) return true;
  if (errnoNameOf(lastErrno()) === "EAGAIN") return false;
  throw failure("flock");
}

/** Closed on exec; node:fs has no name for it. */
export const O_CLOEXEC = 0o2000000;

/** A pipe, closed on exec. */
export function pipe(): { readonly readFd: number; readonly writeFd: number } {
  const fds = new Int32Array(2);
  checked("pipe2", pipe2C(fds, O_CLOEXEC));
  return { readFd: fds[0], writeFd: fds[1] };
}

/** Returns the result (never a peek's), or minus errno. All calls for a tracee must come from one thread. */
export function ptraceRaw(
  request: number,
  tid: number,
  addr: number | bigint,
  data: number | bigint | NodeJS.TypedArray,
): number {
  const result = Number(ptraceC(request, tid, addr, typeof data === "object" ? addressOf(data) : data));
  return result < 0 ? -lastErrno() : result;
}

const statusOut = new Int32Array(1);

/** What waitpid told: whose status (0: nobody's yet, WNOHANG), and the status; or minus errno as `pid`. */
export interface WaitResult {
  readonly pid: number;
  readonly status: number;
}

export function waitpidRaw(pid: number, options: number): WaitResult {
  const result = waitpidC(pid, statusOut, options) as number;
  return { pid: result < 0 ? -lastErrno() : result, status: statusOut[0] };
}

/**
 * Starts a program that libuv does not know of, so that its SIGCHLD handling does not take the statuses a
 * tracer waits for. The caller reaps it. Descriptors without close-on-exec are inherited.
 */
export function posixSpawn(
  path: string,
  argv: readonly string[],
  environment: readonly string[] = [],
): number {
  const pid = new Int32Array(1);
  const error = posixSpawnC(pid, path, null, null, [...argv, null], [...environment, null]) as number;
  if (error !== 0) throw failure(`posix_spawn ${path}`, error);
  return pid[0];
}
