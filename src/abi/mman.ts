/**
 * `mmap`, `mremap` and `madvise` constants, x86-64. Source: `include/uapi/asm-generic/mman-common.h`, `mman.h` (6.18).
 */

export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;

export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_FIXED_NOREPLACE = 0x10_0000;

export const MREMAP_MAYMOVE = 1;
export const MREMAP_FIXED = 2;

/** Advice by the kernel's name, without its `MADV_`. */
export const MADV = {
  NORMAL: 0,
  WILLNEED: 3,
  DONTNEED: 4,
  FREE: 8,
  REMOVE: 9,
  COLD: 20,
  PAGEOUT: 21,
  POPULATE_READ: 22,
  POPULATE_WRITE: 23,
} as const;

export type Advice = keyof typeof MADV;

/** Advice that the model does not know. */
export const MADV_NOHUGEPAGE = 15;
/** Makes pages fatal to touch, by markers in the page table (6.13; files and shmem 6.15). */
export const MADV_GUARD_INSTALL = 102;

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;
/** The end of user addresses, 4-level paging: 2^47 less the guard page. */
export const TASK_SIZE = 0x7fff_ffff_f000;
