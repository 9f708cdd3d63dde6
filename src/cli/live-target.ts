/** Processes of the running kernel, and what asks them: loaded by the commands that need it, when they need it. */

import type { Detector, DetectorName } from "../residency/detector.ts";
import { ExactDetector } from "../residency/exact-detector.ts";
import { LinuxTarget } from "../residency/linux-target.ts";
import { MarkerDetector } from "../residency/marker-detector.ts";
import { PageCacheDetector } from "../residency/page-cache-detector.ts";
import { PagemapDetector } from "../residency/pagemap-detector.ts";
import type { Target } from "../residency/target.ts";

const DETECTORS: Readonly<Record<DetectorName, new (target: Target) => Detector>> = {
  exact: ExactDetector,
  "page-cache": PageCacheDetector,
  marker: MarkerDetector,
  pagemap: PagemapDetector,
};

export function makeDetector(name: DetectorName, target: Target): Detector {
  return new DETECTORS[name](target);
}

/** Throws a LinuxError: ESRCH if there is no such process, EACCES without ptrace read access to it. */
export function openTarget(pid: number): LinuxTarget {
  return LinuxTarget.open(pid);
}
