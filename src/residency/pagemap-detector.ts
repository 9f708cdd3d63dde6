import { type Detector, MappingLook, type MappingScan, outcomeOf, scanPageTable } from "./detector.ts";
import { UNKNOWN } from "./page-state.ts";
import type { Mapping, Target } from "./target.ts";

const ANSWER = {
  outcome: outcomeOf(() => UNKNOWN),
  remark: "pagemap alone can't tell where an object's pages are that are not mapped here",
};

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
    return scanPageTable(this.#look, mapping, ANSWER);
  }
}
