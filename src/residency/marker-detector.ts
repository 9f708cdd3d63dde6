import { type Detector, MappingLook, type MappingScan, outcomeOf, scanPageTable } from "./detector.ts";
import { SWAPPED, UNKNOWN } from "./page-state.ts";
import type { Mapping, Target } from "./target.ts";

const ANSWER = {
  outcome: outcomeOf((isMarked) => (isMarked ? SWAPPED : UNKNOWN)),
  remark: "an empty entry without a marker: never touched, removed, or paged out before it was armed",
};

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
    return scanPageTable(this.#look, mapping, ANSWER);
  }
}
