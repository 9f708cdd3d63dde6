import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AddressSpaces, addArea } from "../../test/support/address-space.ts";
import type { AnonVma, AnonVmaLink } from "./anon-vma.ts";
import type { Mm } from "./mm.ts";
import { Vma } from "./vma.ts";

const BASE = 1000;

/** A page that is mapped: under which anon_vma, at which index. */
interface NaivePage {
  readonly anonVma: AnonVma;
  readonly index: number;
}

interface Space {
  readonly mm: Mm;
  readonly pages: Map<number, NaivePage>;
}

/** Address spaces that fork, split, merge and move as processes do, and the pages that each maps. */
class Family {
  readonly spaces = new AddressSpaces();
  readonly alive: Space[] = [];

  constructor() {
    this.alive.push({ mm: this.spaces.create(), pages: new Map() });
  }

  map(space: Space, start: number, end: number): void {
    if (space.mm.isFree(BASE + start, BASE + end))
      space.mm.merge(addArea(space.mm, { start: BASE + start, end: BASE + end }));
  }

  /** A first write: a new page, which is this area's own. */
  write(space: Space, page: number): void {
    const vma = space.mm.find(BASE + page);
    if (vma === undefined) return;
    const anonVma = this.spaces.anonVmas.prepare(vma);
    space.pages.set(BASE + page, { anonVma, index: vma.indexOf(BASE + page) });
  }

  unmap(space: Space, start: number, end: number): void {
    space.mm.splitAt(BASE + start, BASE + end);
    for (let vpn = BASE + start; vpn < BASE + end; vpn++) {
      space.pages.delete(vpn);
      const vma = space.mm.find(vpn);
      if (vma !== undefined && vma.start === vpn) space.mm.remove(vma);
    }
  }

  split(space: Space, page: number): void {
    space.mm.splitAt(BASE + page, BASE + page);
  }

  mergeAll(space: Space): void {
    for (const vma of [...space.mm.vmas]) if (space.mm.vmas.includes(vma)) space.mm.merge(vma);
  }

  /** As mremap: a new area under the same anon_vmas, the pages moved, the old area gone. */
  move(space: Space, page: number, to: number): void {
    const vma = space.mm.find(BASE + page);
    if (vma === undefined || !space.mm.isFree(BASE + to, BASE + to + vma.sizePages)) return;
    const pgoff = vma.anonVma === null ? BASE + to : vma.pgoff;
    const moved = new Vma(space.mm, BASE + to, BASE + to + vma.sizePages, vma.flags, null, pgoff);
    this.spaces.anonVmas.clone(moved, vma);
    space.mm.insert(moved);
    for (let i = 0; i < vma.sizePages; i++) {
      const mapped = space.pages.get(vma.start + i);
      space.pages.delete(vma.start + i);
      if (mapped !== undefined) space.pages.set(moved.start + i, mapped);
    }
    space.mm.remove(vma);
    space.mm.merge(moved);
  }

  fork(parent: Space): Space {
    const child: Space = { mm: this.spaces.create(), pages: new Map(parent.pages) };
    for (const from of parent.mm.vmas) {
      const to = new Vma(child.mm, from.start, from.end, from.flags, null, from.pgoff);
      this.spaces.anonVmas.fork(to, from);
      child.mm.insert(to);
    }
    this.alive.push(child);
    return child;
  }

  exit(space: Space): void {
    for (const vma of [...space.mm.vmas]) space.mm.remove(vma);
    this.alive.splice(this.alive.indexOf(space), 1);
  }

  /** All areas of all address spaces. */
  get areas(): Vma[] {
    return this.alive.flatMap(({ mm }) => mm.vmas);
  }

  check(): void {
    this.#checkCounts();
    for (const { mm, pages } of this.alive)
      for (const [vpn, { anonVma, index }] of pages) {
        expect(this.spaces.anonVmas.get(anonVma.id), "the page's anon_vma still is").toBe(anonVma);
        const found: AnonVmaLink[] = [];
        anonVma.tree.collect(index, index, found);
        const here = found.filter(({ vma }) => vma.mm === mm && vma.pageAt(index) === vpn);
        expect(here, `page ${vpn - BASE} of address space ${mm.id} is found`).toHaveLength(1);
        expect(here[0].vma).toBe(mm.find(vpn));
      }
  }

  /** Recounted from the areas. */
  #checkCounts(): void {
    const links = new Map<AnonVma, number>();
    const active = new Map<AnonVma, number>();
    const add = (counts: Map<AnonVma, number>, anonVma: AnonVma): void => {
      counts.set(anonVma, (counts.get(anonVma) ?? 0) + 1);
    };
    for (const vma of this.areas) {
      const under = vma.anonLinks.map((link) => link.anonVma);
      expect(new Set(under).size, "an area is under an anon_vma once").toBe(under.length);
      for (const anonVma of under) add(links, anonVma);
      if (vma.anonVma !== null) add(active, vma.anonVma);
      expect(vma.anonVma === null || under.includes(vma.anonVma), "its own is among them").toBe(true);
    }
    const all = new Set(links.keys());
    for (const anonVma of links.keys())
      for (let up = anonVma.parent; up !== null && !all.has(up); up = up.parent) all.add(up);
    expect(this.spaces.anonVmas.count, "anon_vmas").toBe(all.size);
    for (const anonVma of all) {
      expect(anonVma.tree.size).toBe(links.get(anonVma) ?? 0);
      expect(anonVma.activeVmas).toBe(active.get(anonVma) ?? 0);
      const children = [...all].filter((other) => other.parent === anonVma).length;
      expect(anonVma.children).toBe(children + (anonVma.parent === null ? 1 : 0));
    }
  }
}

const PAGES = 24;
const anyPage = fc.nat(PAGES - 1);
const anyCommand = fc.record({
  kind: fc.constantFrom(
    ...([
      "map",
      "map",
      "write",
      "write",
      "write",
      "unmap",
      "split",
      "merge",
      "move",
      "fork",
      "fork",
      "exit",
    ] as const),
  ),
  space: fc.nat(1000),
  page: anyPage,
  to: anyPage,
});

type Command = typeof anyCommand extends fc.Arbitrary<infer T> ? T : never;

function run(family: Family, { kind, space: which, page, to }: Command): void {
  if (family.alive.length === 0) return;
  const space = family.alive[which % family.alive.length];
  const [start, end] = [Math.min(page, to), Math.max(page, to) + 1];
  switch (kind) {
    case "map":
      family.map(space, start, end);
      return;
    case "write":
      family.write(space, page);
      return;
    case "unmap":
      family.unmap(space, start, end);
      return;
    case "split":
      family.split(space, page);
      return;
    case "merge":
      family.mergeAll(space);
      return;
    case "move":
      family.move(space, page, PAGES + to * PAGES);
      return;
    case "fork":
      if (family.alive.length < 8) family.fork(space);
      return;
    case "exit":
      family.exit(space);
  }
}

test("over any life of any family, each page is found in each area that maps it; no anon_vma is left", () => {
  fc.assert(
    fc.property(fc.array(anyCommand, { maxLength: 50, size: "max" }), (commands) => {
      const family = new Family();
      for (const command of commands) {
        run(family, command);
        family.check();
      }
      while (family.alive.length > 0) family.exit(family.alive[0]);
      expect(family.spaces.anonVmas.count).toBe(0);
    }),
    { numRuns: 400 },
  );
});

describe("an anon_vma", () => {
  test("is made by the first private page of an area, once", () => {
    const spaces = new AddressSpaces();
    const vma = addArea(spaces.create(), { start: BASE, end: BASE + 4 });
    expect([vma.anonVma, spaces.anonVmas.count]).toEqual([null, 0]);
    const made = spaces.anonVmas.prepare(vma);
    expect(spaces.anonVmas.prepare(vma)).toBe(made);
    expect(spaces.anonVmas.get(made.id)).toBe(made);
    expect([spaces.anonVmas.count, made.activeVmas, made.tree.size]).toEqual([1, 1, 1]);
  });

  test("of a neighbour that an area may be joined with later is shared", () => {
    const spaces = new AddressSpaces();
    const mm = spaces.create();
    const lower = addArea(mm, { start: BASE, end: BASE + 4 });
    const upper = addArea(mm, { start: BASE + 4, end: BASE + 8 });
    const far = addArea(mm, { start: BASE + 9, end: BASE + 12 });
    const made = spaces.anonVmas.prepare(upper);
    expect(spaces.anonVmas.prepare(lower)).toBe(made);
    expect(spaces.anonVmas.prepare(far)).not.toBe(made);
    expect(made.activeVmas).toBe(2);
  });

  test("of a forked area gets a child of its own: pages that the child copies are not looked for in the parent", () => {
    const family = new Family();
    const [parent] = family.alive;
    family.map(parent, 0, 4);
    family.write(parent, 0);
    const child = family.fork(parent);
    family.write(child, 0);
    const [own] = child.mm.vmas;
    expect(own.anonVma?.parent).toBe(parent.mm.vmas[0].anonVma);
    expect(own.anonLinks).toHaveLength(2);
    expect(own.anonVma?.tree.size).toBe(1);
    family.check();
  });

  test("of an area without private pages has nothing to copy", () => {
    const family = new Family();
    family.map(family.alive[0], 0, 4);
    const child = family.fork(family.alive[0]);
    expect(child.mm.vmas[0]).toMatchObject({ anonVma: null, anonLinks: [] });
    expect(family.spaces.anonVmas.count).toBe(0);
  });

  test("that nobody uses any more, with one child at the most, is used again by a descendant", () => {
    const family = new Family();
    const [first] = family.alive;
    family.map(first, 0, 4);
    family.write(first, 0);
    const second = family.fork(first);
    family.exit(first);
    // The root counts itself and its child, so it is not for use again; the second's own will be.
    const third = family.fork(second);
    const abandoned = second.mm.vmas[0].anonVma;
    expect(third.mm.vmas[0].anonVma?.parent).toBe(abandoned);
    expect(family.spaces.anonVmas.count).toBe(3);
    family.exit(second);
    const fourth = family.fork(third);
    expect(fourth.mm.vmas[0].anonVma).toBe(abandoned);
    family.check();
  });

  test("chain does not grow with a line of forks whose parents end", () => {
    const family = new Family();
    family.map(family.alive[0], 0, 4);
    family.write(family.alive[0], 0);
    for (let generation = 0; generation < 100; generation++) {
      const [parent] = family.alive;
      family.fork(parent);
      family.exit(parent);
      expect(family.alive[0].mm.vmas[0].anonLinks.length).toBeLessThanOrEqual(3);
      expect(family.spaces.anonVmas.count).toBeLessThanOrEqual(3);
    }
    family.check();
  });

  test("of parents that live grows by one a generation", () => {
    const family = new Family();
    family.map(family.alive[0], 0, 4);
    family.write(family.alive[0], 0);
    let last = family.alive[0];
    for (let generation = 0; generation < 20; generation++) last = family.fork(last);
    expect(last.mm.vmas[0].anonLinks).toHaveLength(21);
    family.check();
    for (const space of [...family.alive]) family.exit(space);
    expect(family.spaces.anonVmas.count).toBe(0);
  });

  test("that is gone is refused", () => {
    const spaces = new AddressSpaces();
    const mm = spaces.create();
    const vma = addArea(mm, { start: BASE, end: BASE + 4 });
    const { id } = spaces.anonVmas.prepare(vma);
    mm.remove(vma);
    expect(() => spaces.anonVmas.get(id)).toThrow(`anon_vma ${id} does not exist`);
    expect(() => spaces.anonVmas.get(0)).toThrow("anon_vma 0 does not exist");
    expect(spaces.anonVmas.count).toBe(0);
  });
});
