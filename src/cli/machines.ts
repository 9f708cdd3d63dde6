import { ConfigError, makeConfig, profileForTrace } from "../model/index.ts";
import type { Machine, Place, TraceHeader } from "../script/index.ts";
import { createModelMachine } from "../script/model-machine.ts";
import { InputError } from "./errors.ts";

/** Switches of the machine that a trace ran on which are no part of the kernel: they hold for any profile. */
const SETTINGS = ["fault_around_bytes", "page_cluster"];

/** A model of the kernel that a trace was recorded on; with a profile, of that kernel instead. */
export function machineForTrace(
  { id, kernel, config }: TraceHeader,
  { profile, place }: { readonly profile: string | undefined; readonly place: Place },
): Machine {
  if (profile !== undefined) {
    const settings = SETTINGS.filter((name) => config[name] !== undefined).map((name) => [
      name,
      config[name],
    ]);
    return createModelMachine({ profile, config: Object.fromEntries(settings) });
  }
  try {
    return createModelMachine(profileForTrace(kernel, config));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new InputError(`${place.file}:${place.line}: trace ${id}: ${error.message}`);
  }
}

/** What a trace that the model makes says of the kernel: enough to be replayed as the same profile. */
export function traceHeaderOf(profile: string): Pick<TraceHeader, "kernel" | "config"> {
  const { release, ...config } = makeConfig(profile);
  return { kernel: `${release}-ptemark`, config: { ...config, thp: "never", reclaim_rounds: 3 } };
}
