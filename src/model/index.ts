/** The model: Linux memory management with PTE markers. Runs in Node and in a browser; needs nothing. */
export { Errno, FaultSignal, type MarkerLayout } from "../abi/index.ts";
export { Access, type AccessStage } from "./access.ts";
export {
  ConfigError,
  DEFAULT_PROFILE,
  type KernelConfig,
  makeConfig,
  markerLayoutOf,
  nearestProfile,
  PROFILES,
  type ProfileName,
  profileForTrace,
  profileNamed,
  type Release,
  type TraceProfile,
} from "./config.ts";
export { Fault } from "./fault.ts";
export type { FaultResult, FaultStage } from "./fault-stage.ts";
export { Kernel, type KernelOptions, type MemoryUse } from "./kernel.ts";
export type { MapsEntry } from "./maps.ts";
export { Memfd } from "./memfd.ts";
export { MemoryGroup } from "./memory-group.ts";
export { EndlessFaultError } from "./mmu.ts";
export { PageLockedError } from "./page-lock.ts";
export { PageOut, type PageOutStage } from "./page-out.ts";
export {
  type MmapOptions,
  type MremapOptions,
  Process,
  ProcessUserfaultfd,
  type Protections,
} from "./process.ts";
export { interleave, type Task } from "./scheduler.ts";
export type { ShmemPageState } from "./shmem.ts";
export type { SmapsEntry } from "./smaps.ts";
export { SwapArea } from "./swap.ts";
export type { SwapDevice } from "./swap-device/device.ts";
export { MemorySwapDevice } from "./swap-device/memory.ts";
export { Vmstat, Work } from "./vmstat.ts";
