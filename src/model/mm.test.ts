import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AddressSpaces, addArea, PRIVATE_RW } from "../../test/support/address-space.ts";
import { PAGE_SIZE, TASK_SIZE } from "../abi/index.ts";
import type { Mm } from "./mm.ts";
import { ShmemObject } from "./shmem-object.ts";
import type { Userfaultfd } from "./userfaultfd.ts";
import { VM_SHARED, VM_SOFTDIRTY, VM_UFFD_WP, VM_WRITE, type Vma } from "./vma.ts";

const TASK_PAGES = TASK_SIZE / PAGE_SIZE;
const FIRST_PAGE = 16;
const BASE = 1000;
const UFFD = {} as Userfaultfd;
const READ_ONLY = PRIVATE_RW & ~VM_WRITE;

/** What a page is mapped as; its index tells where in the object it is, or in anonymous memory. */
interface NaivePage {
  readonly flags: number;
  readonly object: ShmemObject | null;
  readonly index: number;
  readonly uffd: Userfaultfd | null;
}

type Range = readonly [start: number, end: number];

type Operation = {
  readonly kind:
    | "anonymous"
    | "anonymous r"
    | "object"
    | "object elsewhere"
    | "unmap"
    | "protect r"
    | "register";
  readonly range: Range;
};

const KINDS: readonly Operation["kind"][] = [
  "anonymous",
  "anonymous r",
  "object",
  "object elsewhere",
  "unmap",
  "protect r",
  "register",
];

/** An address space of which only pages from {@link BASE} on are used, and beside it an array of pages. */
class Checked {
  readonly mm: Mm;
  readonly object = new ShmemObject(1, 2 ** 30);
  readonly pages: (NaivePage | undefined)[];

  constructor(sizePages: number) {
    this.mm = new AddressSpaces().create();
    this.pages = new Array<NaivePage | undefined>(sizePages).fill(undefined);
  }

  run({ kind, range: [start, end] }: Operation): void {
    switch (kind) {
      case "anonymous":
      case "anonymous r":
        this.#map([start, end], kind === "anonymous" ? PRIVATE_RW : READ_ONLY, null, BASE);
        return;
      case "object":
        this.#map([start, end], PRIVATE_RW, this.object, 0);
        return;
      case "object elsewhere":
        this.#map([start, end], PRIVATE_RW, this.object, 5000);
        return;
      case "unmap":
        this.#unmap([start, end]);
        return;
      case "protect r":
        this.#change([start, end], (page) => ({ ...page, flags: page.flags & ~VM_WRITE }));
        return;
      case "register":
        this.#change([start, end], (page) => ({ ...page, flags: page.flags | VM_UFFD_WP, uffd: UFFD }));
    }
  }

  #map([start, end]: Range, flags: number, object: ShmemObject | null, firstIndex: number): void {
    this.#unmap([start, end]);
    const pgoff = firstIndex + start;
    const area = { start: BASE + start, end: BASE + end, flags, pgoff };
    this.mm.merge(addArea(this.mm, object === null ? area : { ...area, object }));
    for (let page = start; page < end; page++)
      this.pages[page] = { flags, object, index: firstIndex + page, uffd: null };
  }

  #unmap([start, end]: Range): void {
    this.mm.splitAt(BASE + start, BASE + end);
    for (const vma of this.#areas([start, end])) this.mm.remove(vma);
    this.pages.fill(undefined, start, end);
  }

  /** As mprotect and userfaultfd do: area by area, split, changed, merged. */
  #change([start, end]: Range, change: (page: NaivePage) => NaivePage): void {
    for (let page = start; page < end; page++) {
      const old = this.pages[page];
      if (old !== undefined) this.pages[page] = change(old);
    }
    for (let at = start; at < end; ) {
      const found = this.mm.find(BASE + at);
      if (found === undefined) {
        at++;
        continue;
      }
      const stop = Math.min(end, found.end - BASE);
      this.mm.splitAt(BASE + at, BASE + stop);
      const vma = this.mm.find(BASE + at) as Vma;
      const { flags, uffd } = change({ flags: vma.flags, object: null, index: 0, uffd: vma.userfaultfd });
      vma.flags = flags;
      vma.userfaultfd = uffd;
      this.mm.merge(vma);
      at = stop;
    }
  }

  #areas([start, end]: Range): Vma[] {
    return this.mm.vmas.filter((vma) => vma.start < BASE + end && vma.end > BASE + start);
  }

  /** What is wrong; undefined if nothing is. */
  wrong(): string | undefined {
    return this.#wrongPages() ?? this.#wrongAreas() ?? this.#wrongGaps() ?? this.#wrongMappings();
  }

  #wrongPages(): string | undefined {
    for (let page = -1; page <= this.pages.length; page++) {
      const expected = this.pages[page];
      const vma = this.mm.find(BASE + page);
      if ((vma === undefined) !== (expected === undefined)) return `page ${page}: mapped or not`;
      if (vma === undefined || expected === undefined) continue;
      const same =
        vma.flags === expected.flags &&
        vma.object === expected.object &&
        vma.indexOf(BASE + page) === expected.index &&
        vma.userfaultfd === expected.uffd;
      if (!same) return `page ${page}: mapped otherwise`;
    }
    return undefined;
  }

  /** In order, apart, and as few as there can be. */
  #wrongAreas(): string | undefined {
    let last: Vma | undefined;
    for (const vma of this.mm.vmas) {
      if (vma.start >= vma.end) return `area at ${vma.start - BASE}: empty`;
      if (last !== undefined && last.end > vma.start) return `area at ${vma.start - BASE}: overlaps`;
      if (last !== undefined && last.end === vma.start && this.#areOne(vma.start - BASE))
        return `areas at ${last.start - BASE} and ${vma.start - BASE} could be one`;
      last = vma;
    }
    return undefined;
  }

  /** Whether a page and the one before it could be in one area. */
  #areOne(page: number): boolean {
    const [a, b] = [this.pages[page - 1], this.pages[page]];
    if (a === undefined || b === undefined) return false;
    return a.flags === b.flags && a.object === b.object && a.uffd === b.uffd && a.index + 1 === b.index;
  }

  #wrongGaps(): string | undefined {
    for (let start = 0; start < this.pages.length; start++)
      for (let end = start + 1; end <= this.pages.length; end++) {
        const isFree = this.pages.slice(start, end).every((page) => page === undefined);
        if (this.mm.isFree(BASE + start, BASE + end) !== isFree) return `free from ${start} to ${end}`;
      }
    return undefined;
  }

  #wrongMappings(): string | undefined {
    const areas = this.mm.vmas.filter((vma) => vma.object !== null);
    if (this.object.mappings.size !== areas.length) return "the object has other mappings";
    for (const [page, naive] of this.pages.entries()) {
      if (naive === undefined || naive.object === null) continue;
      const found: Vma[] = [];
      this.object.mappings.collect(naive.index, naive.index, found);
      const here = found.filter((vma) => vma.pageAt(naive.index) === BASE + page);
      if (here.length !== 1 || here[0] !== this.mm.find(BASE + page))
        return `page ${page}: not found from its object`;
    }
    return undefined;
  }
}

function allRanges(sizePages: number): Range[] {
  const ranges: Range[] = [];
  for (let start = 0; start < sizePages; start++)
    for (let end = start + 1; end <= sizePages; end++) ranges.push([start, end]);
  return ranges;
}

function allOperations(sizePages: number): Operation[] {
  return KINDS.flatMap((kind) => allRanges(sizePages).map((range) => ({ kind, range })));
}

/** Runs every sequence of `length` operations. Returns the first that goes wrong. */
function firstWrong(sizePages: number, length: number): unknown {
  const operations = allOperations(sizePages);
  const sequence: Operation[] = [];
  const search = (): unknown => {
    if (sequence.length === length) {
      const space = new Checked(sizePages);
      for (const operation of sequence) space.run(operation);
      const wrong = space.wrong();
      return wrong === undefined ? undefined : { sequence: [...sequence], wrong };
    }
    for (const operation of operations) {
      sequence.push(operation);
      const found = search();
      if (found !== undefined) return found;
      sequence.pop();
    }
    return undefined;
  };
  return search();
}

describe("mapping, unmapping, changing: the areas are those of an array of pages, and as few as can be", () => {
  test.each([
    [8, 1],
    [5, 2],
    [3, 3],
  ])("over %i pages, after every sequence of %i operations", (sizePages, length) => {
    expect(firstWrong(sizePages, length)).toBeUndefined();
  });

  test("over 40 pages, after long random sequences", () => {
    const range = fc.tuple(fc.nat(39), fc.integer({ min: 1, max: 12 })).map(([start, size]): Range => {
      return [start, Math.min(40, start + size)];
    });
    const operation = fc.record({ kind: fc.constantFrom(...KINDS), range });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60, size: "max" }), (operations) => {
        const space = new Checked(40);
        for (const one of operations) {
          space.run(one);
          expect(space.wrong()).toBeUndefined();
        }
      }),
    );
  });
});

describe("two neighbours", () => {
  type Change = (pair: { mm: Mm; spaces: AddressSpaces; lower: Vma; upper: Vma }) => void;

  /** Two areas side by side, which are the same but for what `change` does; then merged at one of them. */
  function neighbours(change: Change, at: "lower" | "upper", upperStart = 20): number {
    const spaces = new AddressSpaces();
    const mm = spaces.create();
    const lower = addArea(mm, { start: BASE, end: BASE + 20 });
    const upper = addArea(mm, { start: BASE + upperStart, end: BASE + 40 });
    change({ mm, spaces, lower, upper });
    mm.merge(at === "lower" ? lower : upper);
    return mm.vmas.length;
  }

  test.each<[string, Change]>([
    ["alike", () => {}],
    [
      "soft-dirty or not",
      ({ upper }) => {
        upper.flags |= VM_SOFTDIRTY;
      },
    ],
    [
      "with private pages in one of them",
      ({ spaces, lower }) => {
        spaces.anonVmas.prepare(lower);
      },
    ],
    [
      "with private pages in both, which share an anon_vma",
      ({ spaces, lower, upper }) => {
        spaces.anonVmas.prepare(upper);
        spaces.anonVmas.prepare(lower);
      },
    ],
  ])("that are %s become one", (_, change) => {
    expect([neighbours(change, "lower"), neighbours(change, "upper")]).toEqual([1, 1]);
  });

  test.each<[string, Change]>([
    [
      "of other flags",
      ({ upper }) => {
        upper.flags |= VM_SHARED;
      },
    ],
    [
      "of other rights",
      ({ lower }) => {
        lower.flags &= ~VM_WRITE;
      },
    ],
    [
      "of which one is registered with a userfaultfd",
      ({ upper }) => {
        upper.userfaultfd = UFFD;
      },
    ],
    [
      "of two userfaultfds",
      ({ lower, upper }) => {
        lower.userfaultfd = UFFD;
        upper.userfaultfd = {} as Userfaultfd;
      },
    ],
    [
      "with indices that don't follow each other",
      ({ upper }) => {
        upper.pgoff += 1;
      },
    ],
    [
      "with private pages under two anon_vmas",
      ({ spaces, mm, lower, upper }) => {
        spaces.anonVmas.prepare(lower);
        // A hole between them while the other is prepared, so that it takes one of its own.
        mm.remove(upper);
        const far = addArea(mm, { start: BASE + 30, end: BASE + 40 });
        spaces.anonVmas.prepare(far);
        mm.extend(lower, BASE + 30);
      },
    ],
  ])("%s stay two", (_, change) => {
    expect([neighbours(change, "lower"), neighbours(change, "upper")]).toEqual([2, 2]);
  });

  test("with a gap between them stay two", () => {
    expect(neighbours(() => {}, "lower", 21)).toBe(2);
  });

  test("of which a child of fork has one stay two: its pages may be under several anon_vmas", () => {
    const spaces = new AddressSpaces();
    const [parent, child] = [spaces.create(), spaces.create()];
    const of = addArea(parent, { start: BASE, end: BASE + 10 });
    spaces.anonVmas.prepare(of);
    const forked = addArea(child, { start: BASE, end: BASE + 10 });
    spaces.anonVmas.fork(forked, of);
    addArea(child, { start: BASE + 10, end: BASE + 20 });
    child.merge(forked);
    expect(child.vmas).toHaveLength(2);
  });

  test("of two objects, or two places of one, stay two", () => {
    const mm = new AddressSpaces().create();
    const [a, b] = [new ShmemObject(1, 2 ** 20), new ShmemObject(2, 2 ** 20)];
    addArea(mm, { start: BASE, end: BASE + 1, object: a, pgoff: 0 });
    mm.merge(addArea(mm, { start: BASE + 1, end: BASE + 2, object: b, pgoff: 1 }));
    mm.merge(addArea(mm, { start: BASE + 2, end: BASE + 3, object: b, pgoff: 3 }));
    mm.merge(addArea(mm, { start: BASE + 3, end: BASE + 4, object: b, pgoff: 4 }));
    expect(mm.vmas.map((vma) => [vma.start - BASE, vma.end - BASE])).toEqual([
      [0, 1],
      [1, 2],
      [2, 4],
    ]);
  });
});

describe("an area", () => {
  test("that is split keeps everything in both parts", () => {
    const spaces = new AddressSpaces();
    const mm = spaces.create();
    const object = new ShmemObject(1, 2 ** 20);
    const lower = addArea(mm, { start: BASE, end: BASE + 10, object, pgoff: 7 });
    lower.protLo = 0x123;
    lower.protHi = 0x456;
    lower.userfaultfd = UFFD;
    spaces.anonVmas.prepare(lower);
    const upper = mm.split(lower, BASE + 4);
    expect([lower.start, lower.end, upper.start, upper.end]).toEqual([BASE, BASE + 4, BASE + 4, BASE + 10]);
    expect([lower.pgoff, upper.pgoff]).toEqual([7, 11]);
    expect(upper).toMatchObject({ flags: lower.flags, protLo: 0x123, protHi: 0x456, userfaultfd: UFFD });
    expect(upper.anonVma).toBe(lower.anonVma);
    expect(mm.vmas).toEqual([lower, upper]);
    const found: Vma[] = [];
    object.mappings.collect(10, 11, found);
    expect(found).toEqual([lower, upper]);
  });

  test("that grows is found at its new end, by page and by its object", () => {
    const mm = new AddressSpaces().create();
    const object = new ShmemObject(1, 2 ** 20);
    const vma = addArea(mm, { start: BASE, end: BASE + 2, object, pgoff: 0 });
    mm.extend(vma, BASE + 5);
    expect(mm.find(BASE + 4)).toBe(vma);
    const found: Vma[] = [];
    object.mappings.collect(4, 4, found);
    expect(found).toEqual([vma]);
    expect(mm.isFree(BASE + 4, BASE + 5)).toBe(false);
  });
});

test("user addresses are free from the sixteenth page to the end", () => {
  const mm = new AddressSpaces().create();
  expect(mm.isFree(FIRST_PAGE, TASK_PAGES)).toBe(true);
  expect(mm.isFree(FIRST_PAGE - 1, TASK_PAGES)).toBe(false);
  expect(mm.isFree(FIRST_PAGE, TASK_PAGES + 1)).toBe(false);
});

describe("a place that the kernel chooses", () => {
  /** The highest free range of that size, by looking at every gap. */
  function highestGap(mm: Mm, sizePages: number): number | undefined {
    const starts = [...mm.vmas.map((vma) => vma.start), TASK_PAGES];
    const ends = [FIRST_PAGE, ...mm.vmas.map((vma) => vma.end)];
    for (let i = starts.length - 1; i >= 0; i--)
      if (starts[i] - Math.max(FIRST_PAGE, ends[i]) >= sizePages) return starts[i] - sizePages;
    return undefined;
  }

  test("is at the top, then below what is there", () => {
    const mm = new AddressSpaces().create();
    expect(mm.unmappedArea(10)).toBe(TASK_PAGES - 10);
    addArea(mm, { start: TASK_PAGES - 10, end: TASK_PAGES });
    expect(mm.unmappedArea(5)).toBe(TASK_PAGES - 15);
  });

  test("is none if there is none of that size", () => {
    const mm = new AddressSpaces().create();
    expect(mm.unmappedArea(TASK_PAGES - FIRST_PAGE)).toBe(FIRST_PAGE);
    expect(mm.unmappedArea(TASK_PAGES - FIRST_PAGE + 1)).toBeUndefined();
    addArea(mm, { start: 2 ** 34, end: 2 ** 34 + 1 });
    expect(mm.unmappedArea(TASK_PAGES - FIRST_PAGE)).toBeUndefined();
    expect(mm.unmappedArea(TASK_PAGES - 2 ** 34 - 1)).toBe(2 ** 34 + 1);
  });

  test("may be a gap that two neighbours have left, one before and one after the search went below it", () => {
    const mm = new AddressSpaces().create();
    const sizes = [4, 2, 3, 5];
    const areas = sizes.map((sizePages) => {
      const start = mm.unmappedArea(sizePages) as number;
      return addArea(mm, { start, end: start + sizePages });
    });
    const [top, two, three] = areas;
    mm.remove(two);
    // Too small: from here on the search for as much begins below the last area.
    expect(mm.unmappedArea(5)).toBe(areas[3].start - 5);
    mm.remove(three);
    expect(mm.unmappedArea(5)).toBe(top.start - 5);
  });

  test("is the highest there is, whatever was mapped, unmapped and asked for before", () => {
    const operation = fc.record({
      kind: fc.constantFrom("map" as const, "map" as const, "ask" as const, "unmap" as const, "cut" as const),
      sizePages: fc.integer({ min: 1, max: 12 }),
      which: fc.nat(1000),
    });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40, size: "max" }), (operations) => {
        const mm = new AddressSpaces().create();
        for (const { kind, sizePages, which } of operations) {
          if (kind === "map" || kind === "ask") {
            const start = mm.unmappedArea(sizePages);
            expect(start, `${sizePages} pages`).toBe(highestGap(mm, sizePages));
            // Without merging, so that each can go by itself.
            if (kind === "map" && start !== undefined) addArea(mm, { start, end: start + sizePages });
            continue;
          }
          if (mm.vmas.length === 0) continue;
          const vma = mm.vmas[which % mm.vmas.length];
          if (kind === "unmap" || vma.sizePages < 3) mm.remove(vma);
          else {
            mm.splitAt(vma.start + 1, vma.start + 2);
            mm.remove(mm.find(vma.start + 1) as Vma);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});
