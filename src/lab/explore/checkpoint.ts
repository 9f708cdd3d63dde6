/**
 * A search that was stopped, as bytes: a line of JSON, then states, parents, moves and levels as they lie.
 */

import { ConfigError } from "../../model/index.ts";
import { KernelSpace } from "./kernel-space.ts";
import { ParallelSearch } from "./parallel.ts";
import type { ExploreScope } from "./scope.ts";
import type { SearchTally, Shard } from "./search.ts";
import { StateStore } from "./store.ts";

/** Changes whenever a state's vector, a move's number or this file's layout means something else. */
const FORMAT = 1;

interface Header {
  readonly ptemark: string;
  readonly format: number;
  readonly scope: ExploreScope;
  readonly shard: Shard;
  readonly stride: number;
  readonly states: number;
  readonly control: readonly number[];
  readonly tally: SearchTally;
}

export function saveSearch({ space, store, shard, tally }: ParallelSearch, version: string): Uint8Array[] {
  const header: Header = {
    ptemark: version,
    format: FORMAT,
    scope: space.scope,
    shard,
    stride: store.stride,
    states: store.count,
    control: [...store.control],
    tally,
  };
  return [new TextEncoder().encode(`${JSON.stringify(header)}\n`), ...store.parts()];
}

export interface LoadOptions {
  /** What the file is called, for errors. */
  readonly file: string;
  readonly version: string;
  /** Room for how many states in all, given how many there are and the bytes that one takes. */
  readonly capacityFor: (states: number, stride: number) => number;
}

/** Throws a ConfigError that names the file, for what is no checkpoint of this version. */
export function loadSearch(bytes: Uint8Array, { file, version, capacityFor }: LoadOptions): ParallelSearch {
  const header = readHeader(bytes, file);
  if (header.ptemark !== version || header.format !== FORMAT)
    throw new ConfigError(
      `${file}: a checkpoint of ptemark ${header.ptemark} (format ${header.format}), ` +
        `and this is ${version} (format ${FORMAT}): ` +
        "go on with that version, or begin anew",
    );
  const space = new KernelSpace(header.scope);
  const { states, stride, control, tally, shard } = header;
  if (space.stride !== stride)
    throw new ConfigError(`${file}: states of ${stride} bytes, here they have ${space.stride}`);
  const store = StateStore.create(stride, Math.max(states, capacityFor(states, stride)));
  const from = bytes.indexOf(10) + 1;
  if (!store.restore(bytes.subarray(from), states, control))
    throw new ConfigError(
      `${file}: cut short: a checkpoint of ${states} states has more bytes than its ${bytes.length}`,
    );
  return new ParallelSearch(space, store, shard, tally);
}

function readHeader(bytes: Uint8Array, file: string): Header {
  const end = bytes.indexOf(10);
  const wrong = new ConfigError(
    `${file}: not a checkpoint of "ptemark explore": give a file that --checkpoint wrote`,
  );
  if (end < 0 || end > 100_000) throw wrong;
  try {
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end))) as Partial<Header> | null;
    if (header === null || typeof header.ptemark !== "string" || typeof header.format !== "number")
      throw wrong;
    return header as Header;
  } catch {
    throw wrong;
  }
}
