import { type Detector, finish, MappingLook, type MappingScan, outcomeOf } from "./detector.ts";
import { SWAPPED, UNKNOWN } from "./page-state.ts";
import type { Mapping, Target } from "./target.ts";

const OUTCOME = outcomeOf((isMarked) => (isMarked ? SWAPPED : UNKNOWN));

/**
 * Believes markers: a marked page is swapped. It costs little more than reading pagemap, and it errs: a marker stays
 * when the page is removed or another brings it back, and there is none where the page was not armed when it went
 * (or another process's mapping was unmapped at page-out).
 */
export class MarkerDetector implements Detector {
  readonly name = "marker";
  readonly #look: MappingLook;

  constructor(target: Target) {
    this.#look = new MappingLook(target);
  }

  scan(mapping: Mapping): MappingScan {
    const { states, notes } = this.#look.look(mapping);
    const scan = finish(mapping, states, notes, OUTCOME);
    if (scan.counts.unknown === 0 || (mapping.kind !== "shmem" && mapping.kind !== "file")) return scan;
    notes.add("an empty entry without a marker: never touched, removed, or paged out before it was armed");
    return { ...scan, note: notes.toString() };
  }
}
