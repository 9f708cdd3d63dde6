/**
 * Exact at rest, and cheap the second time. Markers and the page table say which pages are in doubt; the object is
 * asked about these only, and of what it said of them this is kept: which pages are *swapped* (their only copy is in
 * swap) and which are *holes*. That is a fact of the object, and it stands
 *
 * - of a swapped page, while nothing was read from swap and nothing was removed from the object. Reads are counted by
 *   the machine; those that our own pages explain, which have come back since, do no harm. A removal changes the
 *   object's ctime; so does the first store to a page that a process has just mapped. After either, the object is asked
 *   whether the pages are still in swap, run by run, which is cheap; and if there were no reads, nor page-outs (what
 *   was written in place of a removed page may have gone to swap too, and have a copy in memory), they are as before.
 * - of a hole, while the object's number of pages is what we count. (That `st_blocks` is what it was would not do: a
 *   page that was only read is clean, and reclaim drops it, uncounted, for another to be allocated.)
 *
 * Neither tells of what had begun when we looked: a read from swap is counted before its page is seen to be in
 * memory, and timestamps have ticks. So facts are *settled* once counter and ctime had been at rest for a while before
 * the pages were asked; others are asked again. Pages in the page cache or the swap cache come and go uncounted:
 * always asked.
 */

import {
  type Detector,
  finish,
  MappingLook,
  type MappingScan,
  type Notes,
  ObjectQuestion,
  UNANSWERED_IS_UNKNOWN,
} from "./detector.ts";
import { PageCacheDetector } from "./page-cache-detector.ts";
import { HOLE, STATE_MASK, SWAPPED, UNKNOWN } from "./page-state.ts";
import { ASK } from "./page-table-look.ts";
import {
  isRefusal,
  type Mapping,
  mappingKey,
  type ObjectStamp,
  type ObjectView,
  pagesOf,
  type Target,
} from "./target.ts";

/**
 * When a pass began: read before anything is asked, so that what changes meanwhile is seen by the next pass.
 */
interface Moment {
  /** undefined: reads from swap are not counted reliably. */
  readonly swapIns: number | undefined;
  readonly swapOuts: number | undefined;
  readonly stamp: ObjectStamp;
  /** There have been no reads for a while. */
  readonly hasNoReads: boolean;
  /** Nor changes of the object. */
  readonly hasNoChanges: boolean;
}

/** What is kept of a mapping. */
interface Known {
  /** A byte a page: SWAPPED, HOLE, or 0 for no fact. */
  readonly facts: Uint8Array;
  moment: Moment;
  /** No read had begun, by which a swapped page would come back uncounted. */
  areReadsSettled: boolean;
  /** The object's number of pages was what we counted. */
  isCountTrue: boolean;
}

export interface ExactDetectorOptions {
  /** How long counter and ctime must have been at rest, milliseconds; the target's own unless given. */
  readonly settleMs?: number;
}

const BLOCK_PAGES = 512;
const BLOCKS_PER_PAGE = 8;
/** More pages than any object has: to ask about all of the rest. */
const ALL_PAGES = 2 ** 40;

export class ExactDetector implements Detector {
  readonly name = "exact";
  readonly #target: Target;
  readonly #settleMs: number;
  readonly #look: MappingLook;
  readonly #question = new ObjectQuestion();
  /** For what has no facts to keep. */
  readonly #pageCache: PageCacheDetector;
  readonly #known = new Map<string, Known>();
  /** The machine's count of reads from swap, and since when it stands. */
  #swapIns: number | undefined;
  #swapInsSince: number;
  /** A page came back, and no read was counted: the count is not to be relied on. */
  #isCountBroken = false;

  constructor(target: Target, { settleMs = target.settleMs }: ExactDetectorOptions = {}) {
    this.#target = target;
    this.#settleMs = settleMs;
    this.#look = new MappingLook(target);
    this.#pageCache = new PageCacheDetector(target);
    this.#swapIns = target.swapIns();
    this.#swapInsSince = target.now();
  }

  scan(mapping: Mapping): MappingScan {
    if (mapping.kind !== "shmem" || !mapping.shared) return this.#pageCache.scan(mapping);
    const object = this.#target.openObject(mapping);
    if (isRefusal(object)) {
      const { states, notes } = this.#look.look(mapping);
      notes.add(object.reason);
      return finish(mapping, states, notes, UNANSWERED_IS_UNKNOWN);
    }
    using view = object;
    return this.#scanShmem(view, mapping);
  }

  keepOnly(mappings: readonly Mapping[]): void {
    const keys = new Set(mappings.map(mappingKey));
    for (const key of this.#known.keys()) if (!keys.has(key)) this.#known.delete(key);
  }

  #scanShmem(view: ObjectView, mapping: Mapping): MappingScan {
    this.#question.asked = 0;
    const moment = this.#moment(view);
    const { states, notes } = this.#look.look(mapping);
    const known = this.#known.get(mappingKey(mapping));
    const recalled = known === undefined ? NOTHING : this.#recall(known, moment, view, mapping, states);
    this.#ask(view, mapping, states, notes);

    const facts = known?.facts ?? new Uint8Array(pagesOf(mapping));
    let isCountTrue = keepFacts(states, facts) + pagesOutside(view, mapping) === pagesIn(moment.stamp);
    if (!isCountTrue && recalled.holes) {
      // A hole was filled, somewhere else than in this process.
      doubt(states, facts, HOLE);
      this.#ask(view, mapping, states, notes);
      isCountTrue = keepFacts(states, facts) + pagesOutside(view, mapping) === pagesIn(moment.stamp);
    }
    const areReadsSettled = recalled.swapped || moment.hasNoReads;
    this.#known.set(mappingKey(mapping), { facts, moment, areReadsSettled, isCountTrue });
    return finish(mapping, states, notes, UNANSWERED_IS_UNKNOWN, this.#question.asked);
  }

  #ask(view: ObjectView, mapping: Mapping, states: Uint8Array, notes: Notes): void {
    notes.add(this.#question.ask(view, mapping, states));
  }

  #moment(view: ObjectView): Moment {
    const swapIns = this.#isCountBroken ? undefined : this.#target.swapIns();
    const stamp = view.stat();
    const now = this.#target.now();
    if (swapIns !== this.#swapIns) {
      this.#swapIns = swapIns;
      this.#swapInsSince = now;
    }
    const changedMs = Number(stamp.changedNs / 1_000_000n);
    return {
      swapIns,
      swapOuts: this.#target.swapOuts(),
      stamp,
      hasNoReads: now - this.#swapInsSince >= this.#settleMs,
      hasNoChanges: now - changedMs >= this.#settleMs,
    };
  }

  /** Puts what is known still in the place of questions. Tells which kinds of facts stood. */
  #recall(known: Known, now: Moment, view: ObjectView, mapping: Mapping, states: Uint8Array): Recalled {
    const { facts, moment: then, isCountTrue } = known;
    if (!known.areReadsSettled || now.swapIns === undefined || then.swapIns === undefined) return NOTHING;
    if (then.stamp.sizePages !== now.stamp.sizePages) return NOTHING;
    const isUnchanged = then.hasNoChanges && then.stamp.changedNs === now.stamp.changedNs;
    const reads = now.swapIns - then.swapIns;
    const returned = apply(facts, states);
    if (isUnchanged && returned > reads && returned > (this.#target.swapIns() ?? 0) - then.swapIns)
      this.#isCountBroken = true;
    let swapped = isUnchanged && reads === returned;
    if (!swapped) {
      // Others read too, or something was removed or written. Which of our pages are not in swap any more?
      const missing = doubtMissing(view, mapping.objectFirstPage, states, facts);
      const hadPageOuts = now.swapOuts === undefined || now.swapOuts !== then.swapOuts;
      if (isUnchanged) swapped = missing !== undefined && reads === returned + missing;
      else swapped = missing !== undefined && reads === 0 && !hadPageOuts;
    }
    if (!swapped) doubt(states, facts, SWAPPED);
    if (!isCountTrue) doubt(states, facts, HOLE);
    return { swapped, holes: isCountTrue };
  }
}

interface Recalled {
  readonly swapped: boolean;
  readonly holes: boolean;
}

const NOTHING: Recalled = { swapped: false, holes: false };

function pagesIn({ blocks }: ObjectStamp): number {
  return blocks / BLOCKS_PER_PAGE;
}

/** The object's pages that the mapping doesn't map; NaN where that can't be told. */
function pagesOutside(view: ObjectView, mapping: Mapping): number {
  const first = mapping.objectFirstPage;
  const end = first + pagesOf(mapping);
  const before = view.cachestat(0, first);
  const after = view.cachestat(end, ALL_PAGES - end);
  if (before === undefined || after === undefined) return Number.NaN;
  return before.cached + before.evicted + after.cached + after.evicted;
}

/** Answers questions by facts. Returns how many pages that were swapped are present now. */
function apply(facts: Uint8Array, states: Uint8Array): number {
  const [ask, mask, swapped] = [ASK | 0, ~(ASK | STATE_MASK), SWAPPED | 0];
  let returned = 0;
  for (let i = 0; i < states.length; i++) {
    const fact = facts[i];
    if (fact === 0) continue;
    const state = states[i];
    if ((state & ask) !== 0) states[i] = (state & mask) | fact;
    else if (fact === swapped) returned++;
  }
  return returned;
}

/** Makes questions again of the pages that a kind of fact answered. */
function doubt(states: Uint8Array, facts: Uint8Array, fact: number, from = 0, end = states.length): void {
  for (let i = from; i < end; i++)
    if (facts[i] === fact && (states[i] & STATE_MASK) === fact) states[i] = (states[i] & ~STATE_MASK) | ASK;
}

/**
 * Doubts the pages that are not all in swap any more, run by run. Returns how many are missing; undefined
 * without cachestat.
 */
function doubtMissing(
  view: ObjectView,
  objectFirstPage: number,
  states: Uint8Array,
  facts: Uint8Array,
): number | undefined {
  const isRecalled = (i: number): boolean => facts[i] === SWAPPED && (states[i] & STATE_MASK) === SWAPPED;
  let missing = 0;
  for (let from = 0; from < states.length; ) {
    if (!isRecalled(from)) {
      from++;
      continue;
    }
    let end = from + 1;
    while (end < states.length && end - from < BLOCK_PAGES && isRecalled(end)) end++;
    const counts = view.cachestat(objectFirstPage + from, end - from);
    if (counts === undefined) return undefined;
    if (counts.evicted < end - from) {
      missing += end - from - counts.evicted;
      doubt(states, facts, SWAPPED, from, end);
    }
    from = end;
  }
  return missing;
}

/** What a state leaves as a fact, and whether the page is one of the object's. */
const FACT_OF = Uint8Array.from({ length: STATE_MASK + 1 }, (_, state) =>
  state === SWAPPED || state === HOLE ? state : 0,
);
const IS_ALLOCATED = Uint8Array.from({ length: STATE_MASK + 1 }, (_, state) =>
  state === HOLE || state === UNKNOWN ? 0 : 1,
);

/** Keeps the facts. Returns how many pages the object has in this range. */
function keepFacts(states: Uint8Array, facts: Uint8Array): number {
  const mask = STATE_MASK | 0;
  const [factOf, isAllocated] = [FACT_OF, IS_ALLOCATED];
  let allocated = 0;
  for (let i = 0; i < states.length; i++) {
    const state = states[i] & mask;
    facts[i] = factOf[state];
    allocated += isAllocated[state];
  }
  return allocated;
}
