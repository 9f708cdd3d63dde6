import {
  type Detector,
  finish,
  MappingLook,
  type MappingScan,
  ObjectQuestion,
  UNANSWERED_IS_UNKNOWN,
} from "./detector.ts";
import { isRefusal, type Mapping, type Target } from "./target.ts";

/** Asks the object about every page that is not mapped. Exact at rest, and remembers nothing. */
export class PageCacheDetector implements Detector {
  readonly name = "page-cache";
  readonly #target: Target;
  readonly #look: MappingLook;
  readonly #question = new ObjectQuestion();

  constructor(target: Target) {
    this.#target = target;
    this.#look = new MappingLook(target);
  }

  scan(mapping: Mapping): MappingScan {
    const { states, notes } = this.#look.look(mapping);
    this.#question.asked = 0;
    if (mapping.kind === "shmem" || mapping.kind === "file") {
      const object = this.#target.openObject(mapping);
      if (isRefusal(object)) notes.add(object.reason);
      else {
        using view = object;
        notes.add(this.#question.ask(view, mapping, states));
      }
    }
    return finish(mapping, states, notes, UNANSWERED_IS_UNKNOWN, this.#question.asked);
  }
}
