/**
 * Random histories on the running kernel, through which detectors are kept; at random moments their answers
 * are held against the plain truth, page by page.
 */

import { PAGE_SIZE, UFFD_USER_MODE_ONLY } from "../abi/index.ts";
import { Userfaultfd } from "../linux/index.ts";
import { SYS } from "../linux/libc.ts";
import { USERFAULTFD_FLAGS } from "../linux/userfaultfd.ts";
import {
  Attachment,
  type Detector,
  ExactDetector,
  LinuxTarget,
  LinuxWriteProtection,
  type MappingScan,
  MarkerDetector,
  PAGE_STATES,
  PageCacheDetector,
  PagemapDetector,
  STATE_MASK,
} from "../residency/index.ts";
import { act } from "./live-actions.ts";
import type { LiveHost } from "./live-host.ts";
import { type LiveArea, type LiveProcess, LiveWorld, must } from "./live-world.ts";
import { type TruePageState, UnstablePageError } from "./page-truth.ts";
import { Random } from "./random.ts";

/** What has been compared, and where believing markers errs. */
export interface ExactnessTally {
  histories: number;
  /**
   * Moments at which all processes were compared, and those that had to be left because pages would not come
   * to rest.
   */
  comparisons: number;
  unrested: number;
  pages: number;
  /** In swap, with or without a copy in the swap cache. */
  swappedPages: number;
  swapCachedPages: number;
  /**
   * Shared pages that were not present, of processes that are attached to: what believing markers says of
   * them.
   */
  markerPages: number;
  markerFalsePositives: number;
  markerFalseNegatives: number;
  /** Pages that `exact` did not have to ask about, though they were not present. */
  recalledPages: number;
  /** By what the truth was. */
  readonly states: Record<TruePageState, number>;
}

export function newTally(): ExactnessTally {
  return {
    histories: 0,
    comparisons: 0,
    unrested: 0,
    pages: 0,
    swappedPages: 0,
    swapCachedPages: 0,
    markerPages: 0,
    markerFalsePositives: 0,
    markerFalseNegatives: 0,
    recalledPages: 0,
    states: { present: 0, cached: 0, "swap-cached": 0, swapped: 0, hole: 0, reserved: 0 },
  };
}

/** A detector was wrong, or memory was not as it was written. */
export class ExactnessFailure extends Error {
  override readonly name = "ExactnessFailure";
}

export interface HistoryOptions {
  readonly seed: number;
  readonly ops?: number;
  /**
   * When the exact detector's facts settle: short, so that histories are. Longer than a tick of the kernel's
   * clock, and than a read from swap may take.
   */
  readonly settleMs: number;
  readonly tally: ExactnessTally;
}

const OPS = 40;
const TRIES = 20;
const RETRY_MS = 5;

const HUGE_PAGES = 512;
const MADV_HUGEPAGE = 14;

/** One process's detectors, kept as long as it lives. */
class Watch implements Disposable {
  readonly target: LinuxTarget;
  readonly exact: ExactDetector;
  readonly fresh: readonly Detector[];
  readonly marker: MarkerDetector;
  attachment: Attachment | undefined;
  readonly #settleMs: number;

  constructor({ pid }: LiveProcess, settleMs: number) {
    this.target = LinuxTarget.open(pid);
    this.#settleMs = settleMs;
    this.exact = new ExactDetector(this.target, { settleMs });
    this.fresh = [new PageCacheDetector(this.target), new PagemapDetector(this.target)];
    this.marker = new MarkerDetector(this.target);
  }

  /** As by `attach`, but that a driven process makes its userfaultfd itself: it is being traced already. */
  attach({ driven, pidfd }: LiveProcess, armHuge: boolean): void {
    const fd = must("userfaultfd", driven.syscall(SYS.userfaultfd, USERFAULTFD_FLAGS | UFFD_USER_MODE_ONLY));
    const userfaultfd = Userfaultfd.adopt(pidfd.getfd(fd));
    driven.syscall(SYS.close, fd);
    this.attachment = new Attachment({
      target: this.target,
      protection: new LinuxWriteProtection(userfaultfd, this.target.pagemap, { armHuge }),
      detector: new ExactDetector(this.target, { settleMs: this.#settleMs }),
    });
  }

  [Symbol.dispose](): void {
    this.attachment?.[Symbol.dispose]();
    this.target[Symbol.dispose]();
  }
}

/** One history. Throws an {@link ExactnessFailure} that says what was wrong, and after what. */
export function runHistory(host: LiveHost, options: HistoryOptions): void {
  using history = new History(host, options);
  history.run(options.ops ?? OPS);
}

class History implements Disposable {
  readonly #random: Random;
  readonly #tally: ExactnessTally;
  readonly #seed: number;
  readonly #settleMs: number;
  readonly #world: LiveWorld;
  readonly #watches = new Map<LiveProcess, Watch>();
  readonly #done: string[] = [];

  constructor(host: LiveHost, { seed, settleMs, tally }: HistoryOptions) {
    this.#seed = seed;
    this.#settleMs = settleMs;
    this.#random = new Random(seed);
    this.#tally = tally;
    this.#world = new LiveWorld(host);
    this.#populate();
  }

  /** A process with shared memory of every kind. */
  #populate(): void {
    const world = this.#world;
    const random = this.#random;
    const [first] = world.processes;
    const whole = world.addObject("whole", 24 + random.below(60));
    world.map(first, { kind: "shared", object: whole, pages: whole.truth.pagesMax });
    const parts = world.addObject("parts", 80);
    const firstPage = random.below(40);
    world.map(first, { kind: "shared", object: parts, firstPage, pages: 30 });
    world.map(first, { kind: "private", object: parts, firstPage: random.below(20), pages: 40 });
    world.map(first, { kind: "anon", pages: 30 });
    if (world.host.hasHugeShmem && random.below(4) === 0) {
      const huge = world.addObject("huge", 2 * HUGE_PAGES + random.below(40));
      huge.isHuge = true;
      const area = world.map(first, { kind: "shared", object: huge, pages: huge.truth.pagesMax });
      must("madvise HUGEPAGE", world.madvise(first, area, 0, area.pages, MADV_HUGEPAGE));
    }
  }

  run(ops: number): void {
    const random = this.#random;
    try {
      for (let i = 0; i < ops; i++) {
        this.#done.push(act(this.#world, random));
        const kind = random.below(12);
        if (kind < 2) this.#pass();
        else if (kind < 4) rest(this.#settleMs + 3);
        if (random.below(3) === 0) this.#compare();
      }
      this.#compare();
      this.#checkContents();
      this.#tally.histories++;
    } catch (error) {
      if (!(error instanceof ExactnessFailure)) throw error;
      const last = this.#done.map((line) => `  ${line}`).join("\n");
      throw new ExactnessFailure(`${error.message}\nseed ${this.#seed}, after:\n${last}`);
    }
  }

  #watch(process: LiveProcess): Watch {
    let watch = this.#watches.get(process);
    if (watch === undefined) {
      watch = new Watch(process, this.#settleMs);
      this.#watches.set(process, watch);
    }
    return watch;
  }

  /** Forgets processes that have ended. */
  #tidy(): void {
    for (const [process, watch] of this.#watches) {
      if (this.#world.processes.includes(process)) continue;
      this.#watches.delete(process);
      watch[Symbol.dispose]();
    }
  }

  /** A pass of an attachment, which arms and heals; attaches first where there is none. */
  #pass(): void {
    this.#tidy();
    const process = this.#world.processes[this.#random.below(this.#world.processes.length)];
    const watch = this.#watch(process);
    if (watch.attachment === undefined) watch.attach(process, this.#random.below(4) === 0);
    const { armed, healed } = watch.attachment?.pass() ?? { armed: 0, healed: 0 };
    this.#done.push(`pass over ${process.pid}: ${armed} armed, ${healed} healed`);
  }

  /** Compares all processes, when the pages have come to rest. */
  #compare(): void {
    this.#tidy();
    this.#tally.comparisons++;
    for (const process of this.#world.processes) this.#compareProcess(process, this.#watch(process));
  }

  #compareProcess(process: LiveProcess, watch: Watch): void {
    const { target, exact, fresh, marker } = watch;
    const mappings = target.mappings();
    exact.keepOnly(mappings);
    for (const area of process.areas) {
      for (let attempt = 0; ; attempt++) {
        if (attempt === TRIES) {
          this.#tally.unrested++;
          break;
        }
        if (attempt > 0) rest(RETRY_MS);
        const before = truthOf(process, area);
        if (before === undefined) continue;
        const pieces = mappings.filter(
          ({ start, end }) => start < area.address + area.pages * PAGE_SIZE && end > area.address,
        );
        const detectors = watch.attachment === undefined ? [exact, ...fresh] : [exact, ...fresh, marker];
        const answers = detectors.map((detector) => ({
          detector,
          scans: pieces.map((mapping) => detector.scan(mapping)),
        }));
        const after = truthOf(process, area);
        if (after === undefined || before.some((state, page) => state !== after[page])) continue;
        for (const { detector, scans } of answers) this.#judge(detector, area, before, scans);
        break;
      }
    }
  }

  #judge(
    detector: Detector,
    area: LiveArea,
    truth: readonly TruePageState[],
    scans: readonly MappingScan[],
  ): void {
    const tally = this.#tally;
    let seen = 0;
    for (const { mapping, states, asked } of scans) {
      let notPresent = 0;
      for (let i = 0; i < states.length; i++) {
        const page = (mapping.start - area.address) / PAGE_SIZE + i;
        const state = PAGE_STATES[states[i] & STATE_MASK];
        const expected = truth[page];
        if (expected === undefined) continue; // the kernel has merged it with its neighbour
        seen++;
        if (expected !== "present") notPresent++;
        if (detector.name === "marker") {
          if (area.kind === "shared" && expected !== "present")
            this.#tallyMarker(state === "swapped", expected);
          continue;
        }
        if (detector.name === "exact") {
          tally.pages++;
          tally.states[expected]++;
          if (expected === "swapped" || expected === "swap-cached") tally.swappedPages++;
          if (expected === "swap-cached") tally.swapCachedPages++;
        }
        // pagemap alone need not know, but must not be wrong.
        if (state === expected || (detector.name === "pagemap" && state === "unknown")) continue;
        throw new ExactnessFailure(
          `${detector.name}: page ${page} of 0x${area.address.toString(16)} ` +
            `(${area.kind} ${area.object?.name ?? "memory"}) is ${expected}, said ${state}`,
        );
      }
      if (detector.name === "exact" && area.kind === "shared")
        tally.recalledPages += Math.max(0, notPresent - asked);
    }
    if (seen !== area.pages)
      throw new ExactnessFailure(
        `${detector.name}: ${seen} pages of ${area.pages} at 0x${area.address.toString(16)}`,
      );
  }

  #tallyMarker(saysSwapped: boolean, expected: TruePageState): void {
    const isSwapped = expected === "swapped" || expected === "swap-cached";
    this.#tally.markerPages++;
    if (saysSwapped && !isSwapped) this.#tally.markerFalsePositives++;
    if (!saysSwapped && isSwapped) this.#tally.markerFalseNegatives++;
  }

  /** After all this looking, memory must hold what was written. */
  #checkContents(): void {
    for (const process of this.#world.processes) {
      for (const area of process.areas) {
        if (area.hasGuards) continue;
        for (let page = 0; page < area.pages; page++) {
          const expected = this.#world.expected(area, page);
          if (expected === undefined) continue;
          const found = process.driven.loadU64(area.address + page * PAGE_SIZE);
          if (found === expected) continue;
          throw new ExactnessFailure(
            `page ${page} of 0x${area.address.toString(16)} in ${process.pid} holds ${found}, not ${expected}`,
          );
        }
      }
    }
  }

  [Symbol.dispose](): void {
    for (const watch of this.#watches.values()) watch[Symbol.dispose]();
    this.#world[Symbol.dispose]();
  }
}

/** undefined: some page moved between two questions. */
function truthOf(process: LiveProcess, area: LiveArea): TruePageState[] | undefined {
  try {
    return Array.from({ length: area.pages }, (_, page) => process.truthOf(area, page));
  } catch (error) {
    if (error instanceof UnstablePageError) return undefined;
    throw error;
  }
}

const cell = new Int32Array(new SharedArrayBuffer(4));

function rest(ms: number): void {
  Atomics.wait(cell, 0, 0, ms);
}
