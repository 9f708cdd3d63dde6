/**
 * The running kernel, by its real system calls. Linux on x86-64 only: elsewhere the import throws a `LinuxError` that
 * says so. Failures are `LinuxError`s: errno's name, the call, and what is missing.
 */
export * from "./cgroup.ts";
export * from "./driven-process.ts";
export * from "./linux-error.ts";
export * from "./lru.ts";
export * from "./machine-lock.ts";
export * from "./maps.ts";
export * from "./page-cache.ts";
export * from "./pagemap.ts";
export * from "./pagemap-scan.ts";
export * from "./pidfd.ts";
export * from "./process-madvise.ts";
export * from "./procfs.ts";
export * from "./smaps.ts";
export * from "./status.ts";
export * from "./swap-file.ts";
export type { SwapSpace } from "./swap-space.ts";
export * from "./userfaultfd.ts";
export * from "./zram.ts";
