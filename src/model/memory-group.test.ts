import { describe, expect, test } from "vitest";
import { ConfigError } from "./config.ts";
import { GROUPS_MAX, MemoryGroups } from "./memory-group.ts";
import { PageFrames } from "./page-frames.ts";
import { NoPageStore } from "./page-store.ts";

function groupsOf(sizePages: number): { frames: PageFrames; groups: MemoryGroups } {
  const frames = new PageFrames(sizePages, new NoPageStore());
  return { frames, groups: new MemoryGroups(frames) };
}

describe("memory groups", () => {
  test("are at first the root alone, which has no limit", () => {
    const { groups } = groupsOf(1);
    expect(groups.all).toEqual([groups.root]);
    expect(groups.root).toMatchObject({
      id: 0,
      name: "/",
      usagePages: 0,
      limitPages: Number.POSITIVE_INFINITY,
    });
  });

  test("count the pages charged to each, and the page knows whose it is", () => {
    const { frames, groups } = groupsOf(4);
    const a = groups.create("a", 10);
    const b = groups.create("b", 10);
    const [first, second, third] = [frames.take(), frames.take(), frames.take()];
    groups.charge(first, a);
    groups.charge(second, b);
    groups.charge(third, b);
    expect([groups.root, a, b].map((group) => group.usagePages)).toEqual([0, 1, 2]);
    expect([first, second, third].map((pfn) => groups.get(frames.group[pfn]).name)).toEqual(["a", "b", "b"]);
    groups.uncharge(second);
    expect([groups.root, a, b].map((group) => group.usagePages)).toEqual([0, 1, 1]);
  });

  test(`can be ${GROUPS_MAX}, because a page's group is one byte`, () => {
    const { frames, groups } = groupsOf(1);
    for (let id = 1; id < GROUPS_MAX; id++) expect(groups.create(`g${id}`, 1).id).toBe(id);
    const pfn = frames.take();
    groups.charge(pfn, groups.get(GROUPS_MAX - 1));
    expect(groups.get(frames.group[pfn]).name).toBe(`g${GROUPS_MAX - 1}`);
    expect(() => groups.create("one more", 1)).toThrow(
      new ConfigError('memory group "one more": there can be 256 at the most'),
    );
  });

  test.each([0, -1, Number.NaN])("refuse a limit of %d pages, at first and later", (pages) => {
    const { groups } = groupsOf(1);
    const message = `memory group "a": limitPages ${pages} must be more than 0`;
    expect(() => groups.create("a", pages)).toThrow(new ConfigError(message));
    const group = groups.create("a", 5);
    expect(() => {
      group.limitPages = pages;
    }).toThrow(new ConfigError(message));
    expect(group.limitPages).toBe(5);
    group.limitPages = 6;
    expect(group.limitPages).toBe(6);
  });
});
