/**
 * Which pages of a process are where: four detectors over a target, which is a process of the running kernel or of the
 * model.
 *
 * @packageDocumentation
 */
export {
  Attachment,
  type AttachmentOptions,
  type AttachmentPass,
  isSharedMemory,
  type SkippedMapping,
  type WriteProtection,
} from "./attachment.ts";
export type { Detector, DetectorName, MappingScan } from "./detector.ts";
export { ExactDetector, type ExactDetectorOptions } from "./exact-detector.ts";
export {
  type AttachOptions,
  attach,
  type LinuxAttachment,
  LinuxWriteProtection,
  type LinuxWriteProtectionOptions,
} from "./linux-attachment.ts";
export { LinuxTarget } from "./linux-target.ts";
export {
  type Holder,
  type MachineOverview,
  type OverviewOptions,
  type SharedObject,
  takeOverview,
} from "./machine-overview.ts";
export { MarkerDetector } from "./marker-detector.ts";
export { ModelTarget } from "./model-target.ts";
export { ModelWriteProtection } from "./model-write-protection.ts";
export { PageCacheDetector } from "./page-cache-detector.ts";
export { flowBetween, type PageFlow } from "./page-flow.ts";
export * from "./page-state.ts";
export { PagemapDetector } from "./pagemap-detector.ts";
export {
  type MappingReport,
  type PageRun,
  reportOf,
  runsOf,
  type ScanReport,
} from "./report.ts";
export {
  createDetector,
  DETECTORS,
  type ScannedMapping,
  type ScanOptions,
  scanTarget,
  type TargetScan,
} from "./scan.ts";
export {
  type AddressRange,
  type CacheCounts,
  type EntryMeaning,
  isRefusal,
  type Mapping,
  type MappingKind,
  mappingKey,
  type ObjectStamp,
  type ObjectView,
  pagesOf,
  type Refusal,
  type Target,
} from "./target.ts";
