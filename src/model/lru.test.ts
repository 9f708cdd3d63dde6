import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  LRU_ACTIVE_ANON,
  LRU_ACTIVE_FILE,
  LRU_INACTIVE_ANON,
  LRU_INACTIVE_FILE,
  LRU_LISTS,
  LruLists,
} from "./lru.ts";
import { PageFrames, PG_ACTIVE, PG_LRU, PG_REFERENCED, PG_SWAPBACKED } from "./page-frames.ts";
import { NoPageStore } from "./page-store.ts";

const GROUPS = 3;
const PAGES = 10;

function listsOf(sizePages: number): { frames: PageFrames; lru: LruLists } {
  const frames = new PageFrames(sizePages, new NoPageStore());
  for (let i = 0; i < sizePages; i++) frames.take();
  return { frames, lru: new LruLists(frames, GROUPS) };
}

/** The lists as plain arrays, head first. */
class NaiveLists {
  readonly lists: number[][] = Array.from({ length: GROUPS * LRU_LISTS }, () => []);
  readonly pages = Array.from({ length: PAGES + 1 }, () => ({
    group: 0,
    isSwapBacked: false,
    isActive: false,
    isReferenced: false,
    list: -1,
  }));

  listOf(pfn: number): number {
    const { group, isSwapBacked, isActive } = this.pages[pfn];
    const kind = isSwapBacked ? [LRU_INACTIVE_ANON, LRU_ACTIVE_ANON] : [LRU_INACTIVE_FILE, LRU_ACTIVE_FILE];
    return group * LRU_LISTS + kind[isActive ? 1 : 0];
  }

  add(pfn: number): void {
    this.pages[pfn].list = this.listOf(pfn);
    this.lists[this.pages[pfn].list].unshift(pfn);
  }

  addTail(pfn: number): void {
    this.pages[pfn].list = this.listOf(pfn);
    this.lists[this.pages[pfn].list].push(pfn);
  }

  remove(pfn: number): void {
    const list = this.lists[this.pages[pfn].list];
    list.splice(list.indexOf(pfn), 1);
    this.pages[pfn].list = -1;
  }
}

type Command =
  | { readonly kind: "add" | "addTail"; readonly pfn: number; readonly group: number; readonly flags: number }
  | { readonly kind: "remove" | "markAccessed" | "deactivate"; readonly pfn: number };

const anyPfn = fc.integer({ min: 1, max: PAGES });
const anyCommand: fc.Arbitrary<Command> = fc.oneof(
  fc.record({
    kind: fc.constantFrom("add" as const, "addTail" as const),
    pfn: anyPfn,
    group: fc.nat(GROUPS - 1),
    flags: fc.constantFrom(0, PG_ACTIVE, PG_SWAPBACKED, PG_SWAPBACKED | PG_ACTIVE),
  }),
  fc.record({
    kind: fc.constantFrom("remove" as const, "markAccessed" as const, "deactivate" as const),
    pfn: anyPfn,
  }),
);

/** Runs the command on both, if it may be run now. */
function run(command: Command, frames: PageFrames, lru: LruLists, naive: NaiveLists): void {
  const { pfn } = command;
  const page = naive.pages[pfn];
  const isOn = page.list >= 0;
  switch (command.kind) {
    case "add":
    case "addTail":
      if (isOn) return;
      frames.flags[pfn] = command.flags;
      frames.group[pfn] = command.group;
      page.group = command.group;
      page.isSwapBacked = (command.flags & PG_SWAPBACKED) !== 0;
      page.isActive = (command.flags & PG_ACTIVE) !== 0;
      page.isReferenced = false;
      lru[command.kind](pfn);
      naive[command.kind](pfn);
      return;
    case "remove":
      if (!isOn) return;
      lru.remove(pfn);
      naive.remove(pfn);
      return;
    case "markAccessed":
      lru.markAccessed(pfn);
      if (!page.isReferenced) page.isReferenced = true;
      else if (isOn && !page.isActive) {
        naive.remove(pfn);
        page.isActive = true;
        page.isReferenced = false;
        naive.add(pfn);
      }
      return;
    case "deactivate":
      lru.deactivate(pfn);
      if (!isOn) return;
      naive.remove(pfn);
      page.isActive = false;
      page.isReferenced = false;
      naive.add(pfn);
  }
}

/** Everything that the lists and the flags say, as plain values. */
function told(frames: PageFrames, lru: LruLists): unknown {
  const lists: unknown[] = [];
  for (let group = 0; group < GROUPS; group++)
    for (let list = 0; list < LRU_LISTS; list++)
      lists.push([[...lru.pages(group, list)], lru.size(group, list), lru.tail(group, list)]);
  const pages = Array.from({ length: PAGES }, (_, i) => {
    const flags = frames.flags[i + 1];
    return [PG_LRU, PG_ACTIVE, PG_REFERENCED].map((flag) => (flags & flag) !== 0);
  });
  return { lists, pages };
}

function toldNaively(naive: NaiveLists): unknown {
  return {
    lists: naive.lists.map((list) => [list, list.length, list.at(-1) ?? 0]),
    pages: naive.pages.slice(1).map((page) => [page.list >= 0, page.isActive, page.isReferenced]),
  };
}

test("the lists do, over any operations, what arrays do", () => {
  fc.assert(
    fc.property(fc.array(anyCommand, { maxLength: 80, size: "max" }), (commands) => {
      const { frames, lru } = listsOf(PAGES);
      const naive = new NaiveLists();
      for (const command of commands) {
        run(command, frames, lru, naive);
        expect(told(frames, lru)).toEqual(toldNaively(naive));
      }
    }),
  );
});

describe("a page", () => {
  test("becomes referenced when it is used, and active when it is used again", () => {
    const { frames, lru } = listsOf(2);
    frames.flags[1] = PG_SWAPBACKED;
    lru.add(1);
    lru.markAccessed(1);
    expect([...lru.pages(0, LRU_INACTIVE_ANON)]).toEqual([1]);
    lru.markAccessed(1);
    expect([...lru.pages(0, LRU_ACTIVE_ANON)]).toEqual([1]);
    expect(frames.flags[1] & PG_REFERENCED).toBe(0);
    lru.markAccessed(1);
    lru.markAccessed(1);
    expect([...lru.pages(0, LRU_ACTIVE_ANON)]).toEqual([1]);
    expect(frames.flags[1] & PG_REFERENCED).toBe(PG_REFERENCED);
  });

  test("that is isolated is not put back by being used or deactivated", () => {
    const { frames, lru } = listsOf(1);
    frames.flags[1] = PG_SWAPBACKED | PG_REFERENCED;
    lru.markAccessed(1);
    lru.deactivate(1);
    for (let list = 0; list < LRU_LISTS; list++) expect(lru.size(0, list)).toBe(0);
  });
});
