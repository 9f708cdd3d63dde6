import { ConfigError, makeConfig, nearestProfile, profileForTrace } from "../model/index.ts";
import type { Machine, Observation, Place, Trace, TraceHeader } from "../script/index.ts";
import { createModelMachine } from "../script/index.ts";
import { InputError } from "./errors.ts";

/** Memory, and swap, for a program whose needs are not known: 1 GiB. */
const RUN_PAGES = 2 ** 18;
/** The least memory for a trace. A smaller machine is made faster, and there is one for each trace. */
const TRACE_PAGES_MIN = 2 ** 10;

/** Switches of the machine that a trace ran on which are no part of the kernel: they hold for any profile. */
const SETTINGS = ["fault_around_bytes", "page_cluster"];
/** A running kernel is compared with an unmodified profile, as it is configured. */
const LIVE_SETTINGS = [...SETTINGS, "MEM_SOFT_DIRTY"];

/** A model of a kernel, with memory for any program. */
export function machineForProgram(profile: string): Machine {
  return createModelMachine({ profile, memoryPages: RUN_PAGES, swapPages: RUN_PAGES });
}

/** A model of the kernel that a trace was recorded on; with a profile, of that kernel instead. */
export function machineForTrace(
  trace: Trace,
  { profile, place }: { readonly profile: string | undefined; readonly place: Place },
): Machine {
  if (profile !== undefined) return machineAs(profile, trace, SETTINGS);
  try {
    return createModelMachine({ ...profileForTrace(trace.kernel, trace.config), ...memoryFor(trace) });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new InputError(`${place.file}:${place.line}: trace ${trace.id}: ${error.message}`);
  }
}

/** A model of the running kernel that made a trace, by the nearest profile; with a profile, of that kernel instead. */
export function machineForLive(trace: Trace, profile: string | undefined): Machine {
  return profile === undefined
    ? machineAs(nearestProfile(trace.kernel), trace, LIVE_SETTINGS)
    : machineAs(profile, trace, SETTINGS);
}

/** The kernel of a profile, with some of a trace's switches. */
function machineAs(profile: string, trace: Trace, switches: readonly string[]): Machine {
  const config = Object.entries(trace.config).filter(([name]) => switches.includes(name));
  return createModelMachine({ profile, config: Object.fromEntries(config), ...memoryFor(trace) });
}

function memoryFor(trace: Trace) {
  const pages = Math.max(TRACE_PAGES_MIN, ...trace.steps.map(pagesShown));
  return { memoryPages: pages, swapPages: pages };
}

/** At least as many pages as there are at that moment: one for each page of an object or a mapping. */
function pagesShown({ objs, mincore }: Observation): number {
  let pages = 0;
  for (const obj in objs) pages += objs[obj].length;
  for (const proc in mincore) {
    for (const mapping in mincore[proc]) pages += mincore[proc][mapping].length;
  }
  return pages;
}

/** What a trace that the model makes says of the kernel: enough to be replayed as the same profile. */
export function traceHeaderOf(profile: string): Pick<TraceHeader, "kernel" | "config"> {
  const { release, ...config } = makeConfig(profile);
  return { kernel: `${release}-ptemark`, config: { ...config, thp: "never", reclaim_rounds: 3 } };
}
