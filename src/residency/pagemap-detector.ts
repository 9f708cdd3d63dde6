import { type Detector, finish, MappingLook, type MappingScan, outcomeOf } from "./detector.ts";
import { UNKNOWN } from "./page-state.ts";
import type { Mapping, Target } from "./target.ts";

const OUTCOME = outcomeOf(() => UNKNOWN);

/**
 * What the kernel says by itself: exact for private memory; of an object's pages only which are mapped. A marker or a
 * guard region, which pagemap shows as PM_SWAP, tells nothing here.
 */
export class PagemapDetector implements Detector {
  readonly name = "pagemap";
  readonly #look: MappingLook;

  constructor(target: Target) {
    this.#look = new MappingLook(target);
  }

  scan(mapping: Mapping): MappingScan {
    const { states, notes } = this.#look.look(mapping);
    const scan = finish(mapping, states, notes, OUTCOME);
    if (scan.counts.unknown === 0 || (mapping.kind !== "shmem" && mapping.kind !== "file")) return scan;
    notes.add("pagemap alone can't tell where an object's pages are that are not mapped here");
    return { ...scan, note: notes.toString() };
  }
}
