/** Groups of processes with a memory limit: what the model has of the memory cgroup (`mm/memcontrol.c`). */

import { ConfigError } from "./config.ts";
import type { PageFrames } from "./page-frames.ts";

/** A page's group is one byte. */
export const GROUPS_MAX = 256;

/** Pages charged to a group of processes, and how many may be. */
export class MemoryGroup {
  readonly id: number;
  readonly name: string;
  usagePages = 0;
  #limitPages: number;

  constructor(id: number, name: string, limitPages: number) {
    this.id = id;
    this.name = name;
    this.#limitPages = checkLimit(name, limitPages);
  }

  /** Infinity if there is no limit. */
  get limitPages(): number {
    return this.#limitPages;
  }

  set limitPages(pages: number) {
    this.#limitPages = checkLimit(this.name, pages);
  }
}

function checkLimit(name: string, pages: number): number {
  if (!(pages > 0)) throw new ConfigError(`memory group "${name}": limitPages ${pages} must be more than 0`);
  return pages;
}

/** All groups; group 0 is the root: no limit, and charged for what belongs to no process. */
export class MemoryGroups {
  readonly #frames: PageFrames;
  readonly #groups: MemoryGroup[] = [new MemoryGroup(0, "/", Number.POSITIVE_INFINITY)];

  constructor(frames: PageFrames) {
    this.#frames = frames;
  }

  get root(): MemoryGroup {
    return this.#groups[0];
  }

  get all(): readonly MemoryGroup[] {
    return this.#groups;
  }

  get(id: number): MemoryGroup {
    return this.#groups[id];
  }

  create(name: string, limitPages: number): MemoryGroup {
    if (this.#groups.length === GROUPS_MAX)
      throw new ConfigError(`memory group "${name}": there can be ${GROUPS_MAX} at the most`);
    const group = new MemoryGroup(this.#groups.length, name, limitPages);
    this.#groups.push(group);
    return group;
  }

  charge(pfn: number, group: MemoryGroup): void {
    this.#frames.group[pfn] = group.id;
    group.usagePages++;
  }

  uncharge(pfn: number): void {
    this.#groups[this.#frames.group[pfn]].usagePages--;
    this.#frames.group[pfn] = 0;
  }
}
