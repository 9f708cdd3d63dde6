import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ConfigError } from "./config.ts";
import { MemoryGroups } from "./memory-group.ts";
import { PageFrames, PG_DIRTY, PG_SWAPCACHE } from "./page-frames.ts";
import { ChunkedPageStore } from "./page-store.ts";
import { packSwapEntry, SWAP_SLOTS_MAX, Swap, SwapArea, swapArea, swapSlot } from "./swap.ts";
import type { SwapDevice } from "./swap-device/device.ts";
import { MemorySwapDevice } from "./swap-device/memory.ts";
import { Vmstat, Work } from "./vmstat.ts";

/** A device of which nothing is read or written. */
function blank(slots: number): SwapDevice {
  return { slots, synchronous: true, read() {}, write() {}, free() {}, close() {} };
}

interface World {
  readonly frames: PageFrames;
  readonly groups: MemoryGroups;
  readonly vmstat: Vmstat;
  readonly work: Work;
  readonly swap: Swap;
}

function worldOf(memoryPages: number, areasMax = 22): World {
  const frames = new PageFrames(memoryPages, new ChunkedPageStore(memoryPages + 1));
  const groups = new MemoryGroups(frames);
  const [vmstat, work] = [new Vmstat(), new Work()];
  return { frames, groups, vmstat, work, swap: new Swap(frames, groups, vmstat, work, areasMax) };
}

function takePage({ frames, groups }: World): number {
  const pfn = frames.take();
  groups.charge(pfn, groups.root);
  return pfn;
}

describe("a packed entry", () => {
  test("keeps area and slot apart, in 31 bits", () => {
    fc.assert(
      fc.property(fc.nat(30), fc.nat(SWAP_SLOTS_MAX - 1), (area, slot) => {
        const entry = packSwapEntry(area, slot);
        expect([swapArea(entry), swapSlot(entry)]).toEqual([area, slot]);
        // So that its complement is a page-cache entry, negative, and never a frame number.
        expect(entry).toBeGreaterThanOrEqual(0);
        expect(~entry).toBeLessThan(0);
      }),
    );
  });
});

describe("the slots of an area", () => {
  test("are those after the header's, each taken once, then none", () => {
    const area = new SwapArea(0, blank(6), -1);
    expect(area.sizeSlots).toBe(5);
    const taken = Array.from({ length: 5 }, () => area.takeSlot());
    expect(taken).toEqual([1, 2, 3, 4, 5]);
    expect([area.takeSlot(), area.usedSlots]).toEqual([0, 5]);
  });

  test("are taken again in the order in which they were freed, and before those never used", () => {
    const area = new SwapArea(0, blank(10), -1);
    for (let i = 0; i < 5; i++) area.takeSlot();
    for (const slot of [3, 1, 5]) area.freeSlot(slot);
    expect(Array.from({ length: 4 }, () => area.takeSlot())).toEqual([3, 1, 5, 6]);
    expect(area.unusedFrom).toBe(7);
  });

  test("are discarded on the device when they are freed", () => {
    const freed: number[] = [];
    const area = new SwapArea(0, { ...blank(4), free: (slot) => void freed.push(slot) }, -1);
    area.takeSlot();
    area.takeSlot();
    area.freeSlot(2);
    expect(freed).toEqual([2]);
  });

  test("agree, over any takes and frees, with a queue", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.array(fc.oneof(fc.constant("take" as const), fc.nat(7)), { maxLength: 60, size: "max" }),
        (sizeSlots, operations) => {
          const area = new SwapArea(0, blank(sizeSlots + 1), -1);
          const freed: number[] = [];
          const taken: number[] = [];
          let unused = 1;
          for (const operation of operations) {
            if (operation === "take") {
              const expected = freed.shift() ?? (unused <= sizeSlots ? unused++ : 0);
              expect(area.takeSlot()).toBe(expected);
              if (expected !== 0) taken.push(expected);
            } else if (taken.length > 0) {
              const [slot] = taken.splice(operation % taken.length, 1);
              area.freeSlot(slot);
              freed.push(slot);
            }
            expect(area.usedSlots).toBe(taken.length);
            // A free slot is never taken for one with a page in the swap cache.
            for (const slot of freed) expect(area.cache[slot]).toBeLessThanOrEqual(0);
            for (const slot of taken) expect(area.cache[slot]).toBe(0);
          }
        },
      ),
    );
  });
});

describe("areas", () => {
  test("are filled in the order in which they were added, unless priorities say otherwise", () => {
    const world = worldOf(10);
    const first = world.swap.addArea(blank(3));
    const second = world.swap.addArea(blank(3));
    const preferred = world.swap.addArea(blank(2), 5);
    const last = world.swap.addArea(blank(2));
    expect([first, second, preferred, last].map((area) => area.priority)).toEqual([-2, -3, 5, -4]);
    expect(world.swap.areas).toEqual([preferred, first, second, last]);
    const types = Array.from({ length: 6 }, () => swapArea(world.swap.addToSwapCache(takePage(world))));
    expect(types).toEqual([preferred, first, first, second, second, last].map((area) => area.type));
    expect(world.swap.addToSwapCache(takePage(world))).toBe(0);
  });

  test("of one priority are filled in the order in which they were added", () => {
    const world = worldOf(4);
    const [a, b] = [world.swap.addArea(blank(2), 1), world.swap.addArea(blank(2), 1)];
    expect(world.swap.areas).toEqual([a, b]);
  });

  test("that are being taken away get no more pages", () => {
    const world = worldOf(4);
    const [a, b] = [world.swap.addArea(blank(3)), world.swap.addArea(blank(3))];
    a.writeOk = false;
    expect(swapArea(world.swap.addToSwapCache(takePage(world)))).toBe(b.type);
    expect([world.swap.freeSlots, world.swap.isOn]).toEqual([1, true]);
    b.writeOk = false;
    expect([world.swap.addToSwapCache(takePage(world)), world.swap.freeSlots, world.swap.isOn]).toEqual([
      0,
      0,
      false,
    ]);
  });

  test("can be as many as there are swap types for them; a removed one's number is used again", () => {
    const world = worldOf(1, 3);
    const areas = Array.from({ length: 3 }, () => world.swap.addArea(blank(2)));
    expect(areas.map((area) => area.type)).toEqual([0, 1, 2]);
    expect(() => world.swap.addArea(blank(2))).toThrow(
      new ConfigError("swap: there can be 3 areas at the most"),
    );
    world.swap.removeArea(areas[1]);
    expect(world.swap.areas).toEqual([areas[0], areas[2]]);
    expect(world.swap.addArea(blank(2)).type).toBe(1);
  });

  test("that are still in use can't be removed", () => {
    const world = worldOf(1);
    const area = world.swap.addArea(blank(3));
    world.swap.addToSwapCache(takePage(world));
    expect(() => world.swap.removeArea(area)).toThrow("swap area 0 still has 1 slots in use");
  });

  test("larger than an entry can say are refused, without taking memory for them", () => {
    const world = worldOf(1);
    expect(() => world.swap.addArea(blank(SWAP_SLOTS_MAX + 1))).toThrow(
      new ConfigError("swap device: 67108865 slots, 67108864 is the most for one area; use several"),
    );
    expect(world.swap.areas).toEqual([]);
  });

  test("are full when more than half of all slots are used", () => {
    const world = worldOf(8);
    expect(world.swap.isFull).toBe(false);
    world.swap.addArea(blank(3));
    world.swap.addArea(blank(5));
    const full = Array.from({ length: 6 }, () => {
      world.swap.addToSwapCache(takePage(world));
      return world.swap.isFull;
    });
    expect(full).toEqual([false, false, false, true, true, true]);
    expect(world.swap.freeSlots).toBe(0);
  });
});

describe("a page in the swap cache", () => {
  test("knows its entry, has a reference more, and is found by the entry", () => {
    const world = worldOf(2);
    const { frames, swap } = world;
    swap.addArea(blank(4));
    const pfn = takePage(world);
    const entry = swap.addToSwapCache(pfn);
    expect(frames.swapEntry[pfn]).toBe(entry);
    expect(frames.flags[pfn] & PG_SWAPCACHE).toBe(PG_SWAPCACHE);
    expect([frames.refcount[pfn], swap.lookUp(entry), swap.count(entry)]).toEqual([2, pfn, 0]);
    swap.duplicate(entry);
    swap.deleteFromSwapCache(pfn);
    expect([frames.refcount[pfn], swap.lookUp(entry), swap.count(entry)]).toEqual([1, 0, 1]);
    expect([frames.swapEntry[pfn], frames.flags[pfn] & PG_SWAPCACHE]).toEqual([0, 0]);
  });

  test("gives up its slot only if nothing else names it, and is dirty then", () => {
    const world = worldOf(1);
    const { frames, swap } = world;
    const area = swap.addArea(blank(2));
    const pfn = takePage(world);
    const entry = swap.addToSwapCache(pfn);
    swap.duplicate(entry);
    expect(swap.freeSwapOf(pfn)).toBe(false);
    expect([frames.flags[pfn] & PG_DIRTY, area.usedSlots]).toEqual([0, 1]);
    swap.release(entry);
    expect(swap.freeSwapOf(pfn)).toBe(true);
    expect([frames.flags[pfn] & PG_DIRTY, area.usedSlots]).toEqual([PG_DIRTY, 0]);
  });

  test("is charged again to the group it had", () => {
    const world = worldOf(1);
    const group = world.groups.create("a", 10);
    world.swap.addArea(blank(2));
    const pfn = world.frames.take();
    world.groups.charge(pfn, group);
    expect(world.swap.groupOf(world.swap.addToSwapCache(pfn))).toBe(group);
  });
});

test("a slot's count can't overflow: the one reference too many is refused", () => {
  const world = worldOf(1);
  world.swap.addArea(blank(2));
  const entry = world.swap.addToSwapCache(takePage(world));
  for (let i = 0; i < 65535; i++) world.swap.duplicate(entry);
  expect(() => world.swap.duplicate(entry)).toThrow("swap slot 1: more than 65535 references");
  expect(world.swap.count(entry)).toBe(65535);
});

test("bytes go to the slot and come back, and both are counted", () => {
  const world = worldOf(2);
  const { frames, swap } = world;
  swap.addArea(new MemorySwapDevice({ slots: 4 }));
  const [out, back] = [takePage(world), takePage(world)];
  frames.contents.bytes(out).fill(7);
  const entry = swap.addToSwapCache(out);
  swap.write(out);
  swap.read(entry, back);
  expect(frames.contents.bytes(back)).toEqual(new Uint8Array(4096).fill(7));
  expect([world.vmstat.pswpout, world.vmstat.pswpin]).toEqual([1, 1]);
  expect([world.work.swapWrites, world.work.swapReads]).toEqual([1, 1]);
});

/** A slot as it should be: how many name it, and the page in the swap cache, or 0. */
interface NaiveSlot {
  count: number;
  pfn: number;
}

const PAGES = 8;
const anyCommand = fc.record({
  kind: fc.constantFrom(
    ...(["swap", "swap", "swap", "duplicate", "release", "delete", "read", "free", "stop"] as const),
  ),
  which: fc.nat(1000),
});

test("slots, counts and swap cache agree, over any operations on three areas, with maps; no entry is 0", () => {
  fc.assert(
    fc.property(fc.array(anyCommand, { maxLength: 80, size: "max" }), (commands) => {
      const world = worldOf(PAGES);
      const { frames, swap } = world;
      for (const slots of [3, 4, 3]) swap.addArea(blank(slots));
      const slots = new Map<number, NaiveSlot>();
      /** The entry of each page, or 0. */
      const pages = new Map(Array.from({ length: PAGES }, () => [takePage(world), 0]));
      const drop = (entry: number): void => {
        const slot = slots.get(entry);
        if (slot?.count === 0 && slot.pfn === 0) slots.delete(entry);
      };
      const pick = <T>(from: Iterable<T>, which: number): T | undefined => {
        const all = [...from];
        return all[which % all.length];
      };
      for (const { kind, which } of commands) {
        const entry = pick(slots.keys(), which) ?? 0;
        const slot = slots.get(entry);
        const free = pick(
          [...pages].filter(([, its]) => its === 0),
          which,
        )?.[0];
        if (kind === "swap" && free !== undefined) {
          const made = swap.addToSwapCache(free);
          const room = swap.areas.some((area) => area.writeOk && area.usedSlots < area.sizeSlots);
          if (made === 0) expect(room).toBe(false);
          else {
            expect(slots.has(made), "a slot that was free").toBe(false);
            slots.set(made, { count: 0, pfn: free });
            pages.set(free, made);
          }
        } else if (kind === "stop") swap.areas[which % 3].writeOk = which % 2 === 0;
        else if (slot === undefined) continue;
        else if (kind === "duplicate") {
          swap.duplicate(entry);
          slot.count++;
        } else if (kind === "release" && slot.count > 0) {
          swap.release(entry);
          slot.count--;
          drop(entry);
        } else if (kind === "delete" && slot.pfn > 0) {
          swap.deleteFromSwapCache(slot.pfn);
          pages.set(slot.pfn, 0);
          slot.pfn = 0;
          drop(entry);
        } else if (kind === "free" && slot.pfn > 0) {
          expect(swap.freeSwapOf(slot.pfn)).toBe(slot.count === 0);
          if (slot.count > 0) continue;
          pages.set(slot.pfn, 0);
          slots.delete(entry);
        } else if (kind === "read" && slot.pfn === 0 && free !== undefined) {
          swap.cacheRead(entry, free);
          slot.pfn = free;
          pages.set(free, entry);
        }
        let used = 0;
        for (const area of swap.areas)
          for (let number = 1; number <= area.sizeSlots; number++) {
            const naive = slots.get(packSwapEntry(area.type, number));
            expect(swap.count(packSwapEntry(area.type, number))).toBe(naive?.count ?? 0);
            expect(Math.max(0, swap.lookUp(packSwapEntry(area.type, number)))).toBe(naive?.pfn ?? 0);
            if (naive !== undefined) used++;
          }
        expect(swap.areas.reduce((sum, area) => sum + area.usedSlots, 0)).toBe(used);
        for (const [pfn, its] of pages) {
          expect((frames.flags[pfn] & PG_SWAPCACHE) !== 0).toBe(its !== 0);
          expect([frames.swapEntry[pfn], frames.refcount[pfn]]).toEqual([its, its === 0 ? 1 : 2]);
        }
      }
    }),
    { numRuns: 200 },
  );
});
