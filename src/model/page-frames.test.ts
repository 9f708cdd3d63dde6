import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { BYTES_PER_FRAME, PageFrames, PG_UPTODATE, ZERO_PFN } from "./page-frames.ts";
import { ChunkedPageStore, NoPageStore } from "./page-store.ts";

function framesOf(sizePages: number): PageFrames {
  return new PageFrames(sizePages, new NoPageStore());
}

afterEach(() => {
  vi.unstubAllGlobals();
});

const TYPED_ARRAYS = {
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
};

/** Bytes of all typed arrays that are made while `action` runs. */
function typedArrayBytes(action: () => void): number {
  let bytes = 0;
  for (const [name, TypedArray] of Object.entries(TYPED_ARRAYS)) {
    const counted = new Proxy(TypedArray, {
      construct(target, args, newTarget) {
        const made = Reflect.construct(target, args, newTarget) as ArrayBufferView;
        bytes += made.byteLength;
        return made;
      },
    });
    vi.stubGlobal(name, counted);
  }
  action();
  vi.unstubAllGlobals();
  return bytes;
}

describe("bookkeeping", () => {
  const pages = 1000;

  test(`is ${BYTES_PER_FRAME} bytes a frame, counted from the arrays that are made`, () => {
    // One more frame: the zero page's.
    expect(typedArrayBytes(() => framesOf(pages))).toBe(BYTES_PER_FRAME * (pages + 1));
  });

  test("is at most 32 bytes a frame with what finds the contents", () => {
    const contents = new ChunkedPageStore(pages + 1);
    const kept = typedArrayBytes(() => new ChunkedPageStore(pages + 1)) - 2 * contents.allocatedBytes();
    // The contents are seen as bytes and as words.
    expect(kept).toBe(contents.bytesPerPage * (pages + 1));
    expect(BYTES_PER_FRAME + contents.bytesPerPage).toBeLessThanOrEqual(32);
  });
});

describe("free frames", () => {
  test("are all frames from 1 up, each taken once with one reference, then none", () => {
    const frames = framesOf(5);
    expect(frames.freeCount).toBe(5);
    const taken = Array.from({ length: 5 }, () => frames.take());
    expect([...taken].sort()).toEqual([1, 2, 3, 4, 5]);
    expect(taken.map((pfn) => frames.refcount[pfn])).toEqual([1, 1, 1, 1, 1]);
    expect(frames.take()).toBe(0);
    expect(frames.freeCount).toBe(0);
    expect([...frames.freeFrames()]).toEqual([]);
  });

  test("never include the zero page, which is up to date for ever", () => {
    const frames = framesOf(1);
    expect(frames.flags[ZERO_PFN]).toBe(PG_UPTODATE);
    expect(frames.take()).toBe(1);
    expect(frames.take()).toBe(0);
    frames.refcount[1] = 0;
    frames.giveBack(1);
    expect(frames.take()).toBe(1);
  });

  test("have nothing left of what they were", () => {
    const frames = framesOf(2);
    const pfn = frames.take();
    frames.flags[pfn] = 0xffff;
    frames.mapping[pfn] = 7;
    frames.swapEntry[pfn] = 9;
    frames.refcount[pfn] = 0;
    frames.giveBack(pfn);
    expect(frames.take()).toBe(pfn);
    expect([frames.flags[pfn], frames.mapping[pfn], frames.swapEntry[pfn], frames.lruNext[pfn]]).toEqual([
      0, 0, 0, 0,
    ]);
    expect([frames.refcount[pfn], frames.mapcount[pfn]]).toEqual([1, 0]);
  });

  test("agree, over any takes and returns, with a set; and are told in the order in which they will be taken", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.array(fc.oneof(fc.constant("take" as const), fc.nat(11)), { maxLength: 60, size: "max" }),
        (sizePages, operations) => {
          const frames = framesOf(sizePages);
          const taken: number[] = [];
          for (const operation of operations) {
            if (operation === "take") {
              const [next] = frames.freeFrames();
              const pfn = frames.take();
              expect(pfn).toBe(next ?? 0);
              if (pfn === 0) continue;
              expect(taken).not.toContain(pfn);
              expect(pfn).toBeGreaterThan(0);
              expect(pfn).toBeLessThanOrEqual(sizePages);
              taken.push(pfn);
            } else if (taken.length > 0) {
              const [pfn] = taken.splice(operation % taken.length, 1);
              frames.refcount[pfn] = 0;
              frames.giveBack(pfn);
            }
            expect(frames.freeCount).toBe(sizePages - taken.length);
            const all = [...taken, ...frames.freeFrames()].sort((a, b) => a - b);
            expect(all).toEqual(Array.from({ length: sizePages }, (_, i) => i + 1));
          }
        },
      ),
    );
  });
});

describe("the mappers of a page", () => {
  test("are counted, and those who see whether a page is mapped once are told of a change", () => {
    const frames = framesOf(1);
    const pfn = frames.take();
    const epochs = [frames.sharingEpoch];
    const note = (): void => void epochs.push(frames.sharingEpoch);
    frames.addMapper(pfn);
    note();
    frames.addMapper(pfn);
    note();
    frames.addMapper(pfn);
    note();
    expect(frames.removeMapper(pfn)).toBe(2);
    note();
    expect(frames.removeMapper(pfn)).toBe(1);
    note();
    expect(frames.removeMapper(pfn)).toBe(0);
    note();
    const changed = epochs.slice(1).map((epoch, i) => epoch !== epochs[i]);
    expect(changed).toEqual([false, true, false, false, true, false]);
  });

  test("are refused beyond what can be counted, before the count is wrong", () => {
    const frames = framesOf(1);
    const pfn = frames.take();
    let mappers = 0;
    expect(() => {
      for (;;) {
        frames.addMapper(pfn);
        mappers++;
      }
    }).toThrow(/^frame 1 is mapped \d+ times: the model counts no further$/);
    expect(frames.mapcount[pfn]).toBe(mappers);
    expect(mappers).toBeGreaterThan(60_000);
  });
});

describe("the index of a page", () => {
  test.each([0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 35 + 12345, 2 ** 36 - 1, 2 ** 36, 2 ** 40 - 1])(
    "%i is kept, beside its neighbours'",
    (index) => {
      const frames = framesOf(3);
      frames.setIndex(1, 0xabc);
      frames.setIndex(2, index);
      frames.setIndex(3, 0xdef);
      expect([frames.index(1), frames.index(2), frames.index(3)]).toEqual([0xabc, index, 0xdef]);
    },
  );

  test("is kept, any up to 2^36", () => {
    const frames = framesOf(1);
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 ** 36 }),
        fc.integer({ min: 0, max: 2 ** 36 }),
        (first, second) => {
          frames.setIndex(1, first);
          expect(frames.index(1)).toBe(first);
          frames.setIndex(1, second);
          expect(frames.index(1)).toBe(second);
        },
      ),
    );
  });
});
