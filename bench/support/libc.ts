/**
 * The few C functions the benches call on the running kernel. Pointers are BigInt and carry no type, so this
 * file and kernel-shmem.ts keep them to themselves.
 */
import koffi from "koffi";

const libc = koffi.load("libc.so.6");
const memfdCreateC = libc.func("int memfd_create(const char *name, unsigned int flags)");
const ftruncateC = libc.func("int ftruncate(int fd, int64_t length)");
const mmapC = libc.func("void *mmap(void *addr, size_t length, int prot, int flags, int fd, int64_t offset)");
const munmapC = libc.func("int munmap(void *addr, size_t length)");
const madviseC = libc.func("int madvise(void *addr, size_t length, int advice)");
const mincoreC = libc.func("int mincore(void *addr, size_t length, _Out_ uint8_t *vec)");
const swaponC = libc.func("int swapon(const char *path, int flags)");
const swapoffC = libc.func("int swapoff(const char *path)");

export type Pointer = bigint;

export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const MADV_NOHUGEPAGE = 15;
export const MADV_PAGEOUT = 21;
const MFD_CLOEXEC = 1;
const SWAP_FLAG_PREFER = 0x8000;
const MAP_FAILED = 2n ** 64n - 1n;

function failure(call: string): Error {
  const errno = koffi.errno();
  const names = Object.entries(koffi.os.errno).filter(([, value]) => value === errno);
  return new Error(`${call}: ${names[0]?.[0] ?? `errno ${errno}`}`);
}

function checked(call: string, result: number): number {
  if (result < 0) throw failure(call);
  return result;
}

export function memfdCreate(name: string): number {
  return checked("memfd_create", memfdCreateC(name, MFD_CLOEXEC));
}

export function ftruncate(fd: number, lengthBytes: number): void {
  checked("ftruncate", ftruncateC(fd, lengthBytes));
}

/** Maps `fd` shared, readable and writable. */
export function mmapShared(fd: number, lengthBytes: number): Pointer {
  const pointer = mmapC(null, lengthBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) as bigint | null;
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

/** An ArrayBuffer over foreign memory. It must not be used after munmap. */
export function viewOf(pointer: Pointer, lengthBytes: number): ArrayBuffer {
  return koffi.view(pointer, lengthBytes) as ArrayBuffer;
}

export function swapon(path: string, priority: number): void {
  checked(`swapon ${path}`, swaponC(path, SWAP_FLAG_PREFER | priority));
}

export function swapoff(path: string): void {
  checked(`swapoff ${path}`, swapoffC(path));
}
