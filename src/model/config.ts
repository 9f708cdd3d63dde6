/**
 * Which kernel the model is: switches by the kernel's names, named profiles, and what differs between
 * releases.
 */

import {
  layOutSwapTypes,
  type MarkerLayout,
  PAGE_SIZE,
  PTE_MARKER_BITS,
  type SwapTypes,
} from "../abi/index.ts";

/** The kernel releases whose behaviour the model follows where they differ. */
export type Release = "6.1" | "6.18";

/** A kernel's configuration, by the kernel's names. */
export interface KernelConfig {
  readonly release: Release;
  /** CONFIG_PTE_MARKER: swap-type entries that map nothing and carry bits. */
  readonly PTE_MARKER: boolean;
  /** CONFIG_PTE_MARKER_PAGEOUT, the RFC's: page-out of a shmem page leaves a marker. Needs PTE_MARKER. */
  readonly PTE_MARKER_PAGEOUT: boolean;
  /**
   * CONFIG_PTE_MARKER_UFFD_WP: userfaultfd write-protection of shmem survives zap and page-out. Needs
   * PTE_MARKER.
   */
  readonly PTE_MARKER_UFFD_WP: boolean;
  /**
   * The rival of the RFC ("pagemap: swap location for shared pages", July 2021): while pagemap is read, every
   * none PTE of a mapping of shmem is looked up in the page cache, and a page in swap is shown with its place
   * there.
   */
  readonly PAGEMAP_SHMEM_LOOKUP: boolean;
  /**
   * Not in the RFC: fault-around fills PAGEOUT markers that carry nothing else, as if they were none. Needs
   * PTE_MARKER_PAGEOUT.
   */
  readonly FAULT_AROUND_MARKERS: boolean;
  /**
   * The RFC's second patch, in Linux since 5.19: a fault on an object's page is finished if the PTE is still
   * what was seen at first (`finish_fault`); without it, if the PTE is none.
   */
  readonly finish_fault_orig_pte: boolean;
  /**
   * The RFC's third patch, in Linux since 5.19: a fault on a marker is one on an object's page
   * (`handle_pte_marker`), and a zap takes markers too; without it, a marker is a bad PTE.
   */
  readonly handle_pte_marker: boolean;
  /** CONFIG_MEM_SOFT_DIRTY. */
  readonly MEM_SOFT_DIRTY: boolean;
  /**
   * How much a read fault maps around itself, bytes: a power of two from 4096 to 2 MiB (debugfs
   * `fault_around_bytes`).
   */
  readonly fault_around_bytes: number;
  /**
   * Swap readahead reads 2^page_cluster pages, 0 to 31 (sysctl `vm.page-cluster`: 3 in a kernel, 0 as
   * recorded).
   */
  readonly page_cluster: number;
  /** UFFD_FEATURE_WP_ASYNC: the kernel resolves write-protect faults by itself (6.7). */
  readonly uffd_wp_async: boolean;
}

export type ProfileName = "rfc" | "linux-6.1" | "linux-6.18";

const LINUX_6_1: KernelConfig = {
  release: "6.1",
  PTE_MARKER: true,
  PTE_MARKER_PAGEOUT: false,
  PTE_MARKER_UFFD_WP: true,
  PAGEMAP_SHMEM_LOOKUP: false,
  FAULT_AROUND_MARKERS: false,
  finish_fault_orig_pte: true,
  handle_pte_marker: true,
  MEM_SOFT_DIRTY: true,
  fault_around_bytes: 65536,
  page_cluster: 0,
  uffd_wp_async: false,
};

/** The kernels that the recorded traces come from. */
export const PROFILES: Readonly<Record<ProfileName, KernelConfig>> = {
  /** 6.1 with the RFC's mechanism. */
  rfc: { ...LINUX_6_1, PTE_MARKER_PAGEOUT: true },
  "linux-6.1": LINUX_6_1,
  "linux-6.18": { ...LINUX_6_1, release: "6.18", MEM_SOFT_DIRTY: false, uffd_wp_async: true },
};

export const DEFAULT_PROFILE: ProfileName = "rfc";

/** A configuration, profile or trace that cannot be: says what and how to mend it. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/**
 * What a release does differently, as read in the sources of 6.1 and 6.12 and seen in the recorded traces.
 */
export interface ReleaseBehaviour {
  /** MADV_WILLNEED of shmem reads one page past the range (`force_shm_swapin_readahead`, `mm/madvise.c`). */
  readonly willneedReadsOnePageTooMany: boolean;
  /** UFFDIO_WRITEPROTECT must lie in one area (`mwriteprotect_range`, `mm/userfaultfd.c`). */
  readonly uffdWpWithinOneVma: boolean;
  /** Write-protecting a none PTE of anonymous memory leaves a marker (UFFD_FEATURE_WP_UNPOPULATED). */
  readonly uffdWpUnpopulatedAnon: boolean;
  /**
   * Un-protecting gives a PTE the plain protection of the area, also where writes are to be noticed
   * (`uffd_wp_range`).
   */
  readonly uffdWpResolveMapsWritable: boolean;
  /**
   * MADV_POPULATE_* stops at the first gap; before, it went on and failed at the end (`madvise_populate`).
   */
  readonly populateStopsAtGap: boolean;
  /**
   * A private page that comes back from swap by a read is mapped writable, if it is nobody else's
   * (`do_swap_page`).
   */
  readonly swapInMapsWritable: boolean;
  /**
   * UFFDIO_REGISTER and UFFDIO_UNREGISTER of a range with no area in or above it: ENOMEM; else EINVAL as for
   * any gap.
   */
  readonly uffdNothingAboveIsEnomem: boolean;
  /** UFFDIO_UNREGISTER refuses areas that another userfaultfd has (as 6.18 shows, and 6.12 does not yet). */
  readonly uffdUnregistersOwnOnly: boolean;
  /**
   * mremap to a given place moves all areas in a range, and gaps between them; before, EFAULT (`remap_move`,
   * 6.17).
   */
  readonly mremapMovesSeveralVmas: boolean;
}

const BEHAVIOUR: Readonly<Record<Release, ReleaseBehaviour>> = {
  "6.1": {
    willneedReadsOnePageTooMany: true,
    uffdWpWithinOneVma: true,
    uffdWpUnpopulatedAnon: false,
    uffdWpResolveMapsWritable: true,
    populateStopsAtGap: false,
    swapInMapsWritable: false,
    uffdNothingAboveIsEnomem: true,
    uffdUnregistersOwnOnly: false,
    mremapMovesSeveralVmas: false,
  },
  "6.18": {
    willneedReadsOnePageTooMany: false,
    uffdWpWithinOneVma: false,
    uffdWpUnpopulatedAnon: true,
    uffdWpResolveMapsWritable: false,
    populateStopsAtGap: true,
    swapInMapsWritable: true,
    uffdNothingAboveIsEnomem: false,
    uffdUnregistersOwnOnly: true,
    mremapMovesSeveralVmas: true,
  },
};

export function behaviourOf(release: Release): ReleaseBehaviour {
  return BEHAVIOUR[release];
}

function isProfileName(name: string): name is ProfileName {
  return Object.hasOwn(PROFILES, name);
}

/** The profile of that name. Throws a {@link ConfigError} that lists the names there are. */
export function profileNamed(name: string): KernelConfig {
  if (!isProfileName(name))
    throw new ConfigError(`unknown profile "${name}": there are ${Object.keys(PROFILES).join(", ")}`);
  return PROFILES[name];
}

/**
 * Completes and checks a configuration: a profile with some switches set otherwise.
 * Throws a {@link ConfigError} for one that can't exist.
 */
export function makeConfig(
  profile: string = DEFAULT_PROFILE,
  overrides: Partial<KernelConfig> = {},
): KernelConfig {
  const base = profileNamed(profile);
  for (const [name, value] of Object.entries(overrides)) {
    if (!Object.hasOwn(base, name))
      throw new ConfigError(`unknown switch "${name}": there are ${Object.keys(base).join(", ")}`);
    const expected = typeof base[name as keyof KernelConfig];
    if (typeof value !== expected)
      throw new ConfigError(`${name}: must be a ${expected}, not ${JSON.stringify(value)}`);
  }
  const config = { ...base, ...overrides };
  if (!isRelease(config.release))
    throw new ConfigError(`release "${config.release}": must be one of ${Object.keys(BEHAVIOUR).join(", ")}`);
  for (const needs of ["PTE_MARKER_PAGEOUT", "PTE_MARKER_UFFD_WP"] as const)
    if (config[needs] && !config.PTE_MARKER)
      throw new ConfigError(`${needs} needs PTE_MARKER: set PTE_MARKER to true, or ${needs} to false`);
  if (config.FAULT_AROUND_MARKERS && !config.PTE_MARKER_PAGEOUT)
    throw new ConfigError(
      "FAULT_AROUND_MARKERS needs PTE_MARKER_PAGEOUT: without it there are no such markers (profile rfc has it)",
    );
  for (const needs of ["finish_fault_orig_pte", "handle_pte_marker"] as const)
    if (config.PTE_MARKER_UFFD_WP && !config[needs])
      throw new ConfigError(
        `PTE_MARKER_UFFD_WP needs ${needs}: set ${needs} to true, or PTE_MARKER_UFFD_WP to false`,
      );
  if (config.PTE_MARKER_PAGEOUT && config.release !== "6.1")
    throw new ConfigError(
      `PTE_MARKER_PAGEOUT is not in ${config.release}: the RFC's mechanism is modelled on 6.1 (profile "rfc")`,
    );
  if (config.uffd_wp_async && config.release === "6.1")
    throw new ConfigError("uffd_wp_async is not in 6.1: it came with 6.7 (profile linux-6.18)");
  const around = config.fault_around_bytes;
  if (
    !Number.isInteger(around) ||
    around < PAGE_SIZE ||
    around > 512 * PAGE_SIZE ||
    (around & (around - 1)) !== 0
  )
    throw new ConfigError(`fault_around_bytes ${around}: must be a power of two from 4096 to 2097152`);
  if (!Number.isInteger(config.page_cluster) || config.page_cluster < 0 || config.page_cluster > 31)
    throw new ConfigError(`page_cluster ${config.page_cluster}: must be an integer from 0 to 31`);
  return config;
}

/**
 * The reserved swap types of a configuration (x86-64, memory failure, migration and device-private memory
 * on).
 */
export function swapTypesOf(config: KernelConfig): SwapTypes {
  const before62 = config.release === "6.1";
  return layOutSwapTypes({
    MEMORY_FAILURE: true,
    MIGRATION: true,
    DEVICE_PRIVATE: true,
    PTE_MARKER: config.PTE_MARKER,
    // Became a marker bit in 6.2: 15520a3f0469 "mm: use pte markers for swap errors".
    SWAPIN_ERROR: before62,
  });
}

/** The bits of a configuration's markers; none where it has no PTE_MARKER. */
export function markerLayoutOf(config: KernelConfig): MarkerLayout | undefined {
  const type = swapTypesOf(config).pteMarker;
  if (type === undefined) return undefined;
  const bits = config.PTE_MARKER_PAGEOUT
    ? PTE_MARKER_BITS["rfc-6.1"]
    : PTE_MARKER_BITS[`linux-${config.release}`];
  return { type, ...bits, UFFD_WP: config.PTE_MARKER_UFFD_WP ? bits.UFFD_WP : 0 };
}

/** The configuration of a recorded trace: which profile its kernel is, and what its switches say. */
export interface TraceProfile {
  readonly profile: ProfileName;
  readonly config: Partial<KernelConfig>;
}

/**
 * The profile of the kernel that a trace names ("6.1.192-rfc"), with the trace's own switches.
 * Throws a {@link ConfigError} for a kernel that the model doesn't follow.
 */
export function profileForTrace(
  kernel: string,
  traceConfig: Readonly<Record<string, boolean | number | string>>,
): TraceProfile {
  const release = /^(\d+\.\d+)(?=[.-]|$)/.exec(kernel)?.[1];
  if (release === undefined || !isRelease(release))
    throw new ConfigError(
      `unknown kernel "${kernel}": the model follows ${Object.keys(BEHAVIOUR).join(" and ")}; ` +
        "name a profile to replay it as one",
    );
  const patched = traceConfig.PTE_MARKER_PAGEOUT === true ? "rfc" : "linux-6.1";
  const profile: ProfileName = release === "6.1" ? patched : `linux-${release}`;
  const known = Object.entries(traceConfig).filter(([name]) => Object.hasOwn(PROFILES[profile], name));
  return { profile, config: Object.fromEntries(known) };
}

/**
 * The profile of an unmodified kernel whose release is nearest to that of a running one ("6.12.63",
 * "7.0-rc1"); the older one of two that are as near.
 */
export function nearestProfile(kernel: string): ProfileName {
  const rank = (release: string) => {
    const [, major, minor] = /^(\d+)\.(\d+)/.exec(release) ?? ["", "0", "0"];
    return Number(major) * 100 + Number(minor); // the last minor number before a new major one is about 20
  };
  const distance = (release: string) => Math.abs(rank(release) - rank(kernel));
  const [first, ...others] = Object.keys(BEHAVIOUR) as Release[];
  const nearest = others.reduce((best, one) => (distance(one) < distance(best) ? one : best), first);
  return `linux-${nearest}`;
}

function isRelease(release: string): release is Release {
  return Object.hasOwn(BEHAVIOUR, release);
}
