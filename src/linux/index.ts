/**
 * The running kernel, by its real system calls. Linux on x86-64 only: elsewhere the import throws a
 * `LinuxError` that says so. A failure is a `LinuxError`: errno's name, the call, and what is missing. What
 * has a `Symbol.dispose` holds a descriptor, a mapping or a process until it is disposed of.
 */
export { type Ability, type Capabilities, capabilities, type Finding } from "./capabilities.ts";
export { MemoryCgroup, type MemoryHierarchy } from "./cgroup.ts";
export { DrivenProcess, SCRATCH_ADDRESS, SCRATCH_BYTES } from "./driven-process.ts";
export { LinuxError } from "./linux-error.ts";
export { drainLruBatches } from "./lru.ts";
export { MachineLock, type MachineLockOptions } from "./machine-lock.ts";
export { type MapsEntry, mapFilesPath, readMaps } from "./maps.ts";
export { type CacheCounts, type ObjectStamp, PageCacheView } from "./page-cache.ts";
export { PagemapFile, pagemapShowsFrames } from "./pagemap.ts";
export { PagemapScanner, type ScanRequest, type VisitRegion } from "./pagemap-scan.ts";
export { Pidfd } from "./pidfd.ts";
export { type ProcessCapabilities, processCapabilities } from "./process-capabilities.ts";
export { type AddressRange, processMadvise, type RemoteAdvice } from "./process-madvise.ts";
export {
  commandLine,
  isKernelThread,
  listPids,
  listThreads,
  processName,
  processStartTime,
  readSwaps,
  readVmstat,
  type SwapArea,
} from "./procfs.ts";
export {
  createUserfaultfdIn,
  type RemoteOptions,
  RemoteProcess,
  type RemoteResult,
  type RemoteUserfaultfd,
} from "./remote-process.ts";
export type { RemoteThread, StepListener } from "./remote-thread.ts";
export { readSmaps, readSmapsRollup, type SmapsEntry } from "./smaps.ts";
export { type ProcessStatus, readStatus } from "./status.ts";
export { SwapFile, type SwapFileOptions } from "./swap-file.ts";
export type { SwapSpace } from "./swap-space.ts";
export { Userfaultfd } from "./userfaultfd.ts";
export { ZramSwap, type ZramSwapOptions, type ZramUsage } from "./zram.ts";
