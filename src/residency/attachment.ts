/**
 * Makes page-out visible in a process's own pagemap, with what a kernel has without the RFC: pages of shared
 * memory are write-protected ("armed") while they are present, and then page-out leaves a marker. A write
 * disarms a page, so passes arm anew, which also tells what was written; and markers that the exact detector
 * finds stale are taken away.
 */

import { PAGE_SIZE } from "../abi/index.ts";
import type { Detector, MappingScan } from "./detector.ts";
import { ExactDetector } from "./exact-detector.ts";
import { flowBetween, type PageFlow } from "./page-flow.ts";
import { STALE } from "./page-state.ts";
import { type Mapping, mappingKey, type Target } from "./target.ts";

/** Write-protection of a process's pages: by userfaultfd, in the asynchronous mode. */
export interface WriteProtection extends Disposable {
  /** Why a mapping must not or can't be registered; undefined once it is. Registering again does nothing. */
  register(mapping: Mapping): string | undefined;
  /** Arms present pages that are not. Returns how many. */
  arm(mapping: Mapping): number;
  /** Takes protection and markers off a range of addresses. */
  resolve(start: number, lengthBytes: number): void;
}

export interface AttachmentOptions {
  readonly target: Target;
  /** Disposed of with the attachment, which ends all protection. */
  readonly protection: WriteProtection;
  /** Which mappings; shared memory unless given. */
  readonly choose?: (mapping: Mapping) => boolean;
  readonly detector?: Detector;
}

/** A mapping that is not attached to. */
export interface SkippedMapping {
  readonly mapping: Mapping;
  readonly reason: string;
}

/** What a pass saw since the one before, pages, and what it did. */
export interface AttachmentPass extends PageFlow {
  readonly scans: readonly MappingScan[];
  readonly skipped: readonly SkippedMapping[];
  /** Mappings that are new since, and those that are gone. */
  readonly appeared: readonly Mapping[];
  readonly vanished: readonly Mapping[];
  /**
   * Written, or come into the page table without a marker; each write to an armed page was a fault of the
   * target's.
   */
  readonly written: number;
  /** Armed in this pass: those written, and all that is present in new mappings. */
  readonly armed: number;
  /** About which the object had to be asked. */
  readonly doubtful: number;
  /** Stale markers that were taken away. */
  readonly healed: number;
  /** What looking and arming took, milliseconds. */
  readonly scanMs: number;
  readonly armMs: number;
}

export function isSharedMemory({ kind, shared }: Mapping): boolean {
  return kind === "shmem" && shared;
}

export class Attachment implements Disposable {
  readonly target: Target;
  readonly #protection: WriteProtection;
  readonly #choose: (mapping: Mapping) => boolean;
  readonly #detector: Detector;
  /** What the last pass saw, by mapping. */
  #last = new Map<string, MappingScan>();

  constructor({ target, protection, choose = isSharedMemory, detector }: AttachmentOptions) {
    this.target = target;
    this.#protection = protection;
    this.#choose = choose;
    this.#detector = detector ?? new ExactDetector(target);
  }

  /**
   * Looks, heals and arms. The first one registers and arms everything. Throws ESRCH when the process has
   * ended.
   */
  pass(): AttachmentPass {
    const before = this.#last;
    const now = new Map<string, MappingScan>();
    const skipped: SkippedMapping[] = [];
    const appeared: Mapping[] = [];
    const sum = { swappedOut: 0, swappedIn: 0, written: 0, armed: 0, doubtful: 0, healed: 0 };
    const mappings = this.target.mappings().filter(this.#choose);
    this.#detector.keepOnly?.(mappings);
    let scanMs = 0;
    let armMs = 0;
    for (const mapping of mappings) {
      const start = performance.now();
      const reason = this.#protection.register(mapping);
      if (reason !== undefined) {
        skipped.push({ mapping, reason });
        continue;
      }
      const scan = this.#detector.scan({ ...mapping, attached: true });
      const scanned = performance.now();
      sum.healed += this.#heal(scan);
      const armed = this.#protection.arm(mapping);
      scanMs += scanned - start;
      armMs += performance.now() - scanned;

      const last = before.get(mappingKey(mapping));
      now.set(mappingKey(mapping), scan);
      sum.armed += armed;
      sum.doubtful += scan.asked;
      if (last === undefined) appeared.push(mapping);
      else {
        sum.written += armed;
        const { swappedOut, swappedIn } = flowBetween(last.states, scan.states);
        sum.swappedOut += swappedOut;
        sum.swappedIn += swappedIn;
      }
    }
    this.#last = now;
    const vanished = [...before].filter(([key]) => !now.has(key)).map(([, { mapping }]) => mapping);
    return { scans: [...now.values()], skipped, appeared, vanished, ...sum, scanMs, armMs };
  }

  /** Takes away the markers of pages that are not in swap. Returns how many. */
  #heal({ mapping, states }: MappingScan): number {
    let healed = 0;
    for (let from = 0; from < states.length; from++) {
      if ((states[from] & STALE) === 0) continue;
      let end = from + 1;
      while (end < states.length && (states[end] & STALE) !== 0) end++;
      this.#protection.resolve(mapping.start + from * PAGE_SIZE, (end - from) * PAGE_SIZE);
      healed += end - from;
      from = end;
    }
    return healed;
  }

  /** Ends all protection; nothing is left in the process. */
  [Symbol.dispose](): void {
    this.#protection[Symbol.dispose]();
  }
}
