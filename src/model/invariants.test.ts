import { describe, expect, test } from "vitest";
import { bareKernel, fill, PAGE, pattern, setPte, testKernel } from "../../test/support/model.ts";
import { markerPteHi, markerPteLo, PTE_UFFD_WP, swapPteHi, swapPteLo } from "../abi/index.ts";
import { InvariantError } from "./invariants.ts";
import type { Kernel } from "./kernel.ts";
import { PG_ACTIVE, PG_ANON, PG_ANON_EXCLUSIVE, PG_LOCKED, PG_LRU, PG_SWAPCACHE } from "./page-frames.ts";
import { entryOffset } from "./page-table.ts";
import type { Process } from "./process.ts";
import { VM_UFFD_WP, VM_WRITE } from "./vma.ts";

const AT = 0x1000_0000_0000;
const OWN = AT + 16 * PAGE;

/**
 * A shared mapping at AT: pages 0 and 1 present, 2 in swap with a marker, 3 untouched; private memory at OWN: pages 0
 * and 1 present, 2 in swap, 3 untouched; and behind a gap, private memory in the same page table.
 */
function sound() {
  const kernel = bareKernel({ memoryPages: 16, swapPages: [16] });
  const group = kernel.createGroup("some");
  const process = kernel.createProcess({ group });
  const object = kernel.memfdCreate({ sizePages: 4 });
  process.mmap({ lengthBytes: 4 * PAGE, object, address: AT, fixed: true, shared: true, write: true });
  process.mmap({ lengthBytes: 4 * PAGE, address: OWN, fixed: true, write: true });
  fill(process, AT, 3);
  fill(process, OWN, 3, 10);
  process.madvise(AT + 2 * PAGE, PAGE, "PAGEOUT");
  process.madvise(OWN + 2 * PAGE, PAGE, "PAGEOUT");
  kernel.checkInvariants();
  const [shared] = process.mm.vmas;
  return {
    kernel,
    group,
    process,
    object,
    shared,
    page: object.frameAt(0),
    ownPage: process.frameAt(OWN),
  };
}

type Sound = ReturnType<typeof sound>;

function pte(kernel: Kernel, process: Process, address: number): [lo: number, hi: number] {
  const vpn = address / PAGE;
  const table = process.mm.pageTables.find(vpn);
  const words = kernel.pageTables.chunkOf(table);
  const i = entryOffset(table, vpn);
  return [words[i], words[i + 1]];
}

function setMarker(kernel: Kernel, process: Process, address: number, bits: number): void {
  setPte(kernel, process, address, markerPteLo(bits), markerPteHi(kernel.markers!, bits));
}

/** What is done to a sound kernel, and what checkInvariants says then. */
const DAMAGES: Record<string, [RegExp, (state: Sound) => unknown]> = {
  "a mapcount too high": [
    /frame \d+: mapcount 2, 1 entries map it/,
    ({ kernel, page }) => kernel.frames.mapcount[page]++,
  ],
  "a reference too many": [
    /frame \d+: refcount 3, 2 references/,
    ({ kernel, page }) => kernel.frames.refcount[page]++,
  ],
  "a page that is mapped and free": [
    /process 1, page \d+: maps the free frame \d+/,
    ({ kernel, ownPage }) => kernel.frames.refcount[ownPage]--,
  ],
  "a PTE that nobody counted": [
    /frame \d+: mapcount 1, 2 entries map it/,
    ({ kernel, process, object }) => {
      const other = kernel.createProcess();
      other.mmap({ lengthBytes: 4 * PAGE, object, address: AT, fixed: true, shared: true, write: true });
      other.storeU64(AT + PAGE, 1n);
      setPte(kernel, other, AT, ...pte(kernel, process, AT));
    },
  ],
  "a PTE that went and was not counted": [
    /frame \d+: mapcount 1, 0 entries map it/,
    ({ kernel, process }) => setPte(kernel, process, AT, 0, 0),
  ],

  "a leaked count of a swap slot": [
    /swap area 0, slot 1: counts 2, is named 1 times/,
    ({ kernel }) => kernel.swap.areas[0].counts[1]++,
  ],
  "a swap entry that was forgotten": [
    /swap area 0, slot 2: counts 1, is named 0 times/,
    ({ kernel, process }) => setPte(kernel, process, OWN + 2 * PAGE, 0, 0),
  ],
  "a swap entry in two PTEs that counts as one": [
    /swap area 0, slot 2: counts 1, is named 2 times/,
    ({ kernel, process }) => setPte(kernel, process, OWN + 3 * PAGE, ...pte(kernel, process, OWN + 2 * PAGE)),
  ],
  "a swap entry of an area that there is not": [
    /swap entry 7:9 is named and not in use/,
    ({ kernel, process }) => setPte(kernel, process, OWN + 3 * PAGE, swapPteLo(9, 0), swapPteHi(7, 9)),
  ],
  "a swap slot too many in use": [
    /swap area 0: counts 3 used slots, has 2/,
    ({ kernel }) => kernel.swap.areas[0].usedSlots++,
  ],
  "a page in the swap cache that does not know": [
    /slot 1: frame \d+ does not know that it is in the swap cache/,
    ({ kernel, page }) => {
      kernel.swap.areas[0].cache[1] = page;
    },
  ],
  "a page that differs from its copy in swap": [
    /slot \d+: differs from its copy in frame \d+/,
    ({ kernel, process }) => {
      process.madvise(OWN + 2 * PAGE, PAGE, "WILLNEED");
      kernel.checkInvariants();
      kernel.frames.contents.bytes(process.frameAt(OWN + 2 * PAGE))[100] ^= 1;
    },
  ],

  "a marker outside an area": [
    /process 1: page \d+ has an entry and is in no area/,
    ({ kernel, process }) => setPte(kernel, process, AT + 6 * PAGE, ...pte(kernel, process, AT + 2 * PAGE)),
  ],
  "a PAGEOUT marker in anonymous memory": [
    /process 1, page \d+: a PAGEOUT marker in anonymous memory/,
    ({ kernel, process }) => setPte(kernel, process, OWN + 3 * PAGE, ...pte(kernel, process, AT + 2 * PAGE)),
  ],
  "a marker that is PAGEOUT and uffd-wp": [
    /process 1, page \d+: PAGEOUT and others in one marker/,
    ({ kernel, process }) => setMarker(kernel, process, AT + 3 * PAGE, 3),
  ],
  "a marker that is nothing": [
    /process 1, page \d+: marker bits 0/,
    ({ kernel, process }) => setMarker(kernel, process, AT + 3 * PAGE, 0),
  ],
  "a marker of a kind that there is not": [
    /process 1, page \d+: marker bits 16/,
    ({ kernel, process }) => setMarker(kernel, process, AT + 3 * PAGE, 16),
  ],

  "areas that overlap": [
    /process 1: areas overlap at page \d+/,
    ({ process }) => {
      for (const page of [2048, 2056])
        process.mmap({ lengthBytes: 4 * PAGE, address: AT + page * PAGE, fixed: true });
      process.mm.vmas[2].end += 5;
    },
  ],
  "an area that its object does not know": [
    /the area at page \d+ is not among its object's/,
    ({ shared, object }) => object.object.unlink(shared),
  ],
  "a writable page in a read-only area": [
    /page \d+: writable, and its area is not/,
    ({ shared }) => {
      shared.flags &= ~VM_WRITE;
    },
  ],
  "a page that is write-protected and writable": [
    /page \d+: writable, and write-protected by userfaultfd/,
    ({ kernel, process, shared }) => {
      shared.flags |= VM_UFFD_WP;
      const [lo, hi] = pte(kernel, process, AT);
      setPte(kernel, process, AT, lo | PTE_UFFD_WP, hi);
    },
  ],

  "a page at another index than it says": [
    /frame \d+ has index 9/,
    ({ kernel, ownPage }) => kernel.frames.setIndex(ownPage, 9),
  ],
  "a page of another object": [
    /frame \d+ is another object's/,
    ({ kernel, page }) => {
      kernel.frames.mapping[page] += 7;
    },
  ],
  "a private page in a shared mapping": [
    /a private page in a shared mapping/,
    ({ kernel, page }) => {
      kernel.frames.flags[page] |= PG_ANON;
    },
  ],
  "a private page that may be written and may be another's": [
    /writable, but frame \d+ is not this process' alone/,
    ({ kernel, ownPage }) => {
      kernel.frames.flags[ownPage] &= ~PG_ANON_EXCLUSIVE;
    },
  ],
  "an exclusive page that two processes map": [
    /exclusive frame \d+ is mapped more than once/,
    ({ kernel, process }) => {
      const child = process.fork();
      kernel.frames.flags[child.frameAt(OWN)] |= PG_ANON_EXCLUSIVE;
    },
  ],
  "a private page that its reverse mapping would not find": [
    /frame \d+ would not be found here by its reverse mapping/,
    ({ kernel, process, ownPage }) => {
      const other = process.mmap({ lengthBytes: PAGE, address: AT + 512 * PAGE, fixed: true, write: true });
      process.storeU64(other, 1n);
      kernel.frames.mapping[ownPage] = kernel.frames.mapping[process.frameAt(other)];
    },
  ],
  "a page in the page cache and in swap": [
    /object 1, page 0: frame \d+ is in the page cache and in swap/,
    ({ kernel, page }) => {
      kernel.frames.flags[page] |= PG_SWAPCACHE;
    },
  ],
  "a page twice in a page cache": [
    /object 1, page 3: frame \d+ does not know that it is this page/,
    ({ object, page }) => object.object.set(3, page),
  ],
  "an object that counts its pages wrong": [
    /object 1: counts 3 \+ 1, has 2 \+ 1/,
    ({ object }) => object.object.residentPages++,
  ],

  "an inactive page on the active list": [
    /frame \d+ is on list \d of group some, and its flags say otherwise/,
    ({ kernel, page }) => {
      kernel.frames.flags[page] ^= PG_ACTIVE;
    },
  ],
  "a page on a list that says it is on none": [
    /frame \d+ is on list \d of group some, and its flags say otherwise/,
    ({ kernel, page }) => {
      kernel.frames.flags[page] &= ~PG_LRU;
    },
  ],
  "a page on another group's list": [
    /frame \d+ is on list \d of group some, and its flags say otherwise/,
    ({ kernel, page }) => {
      kernel.frames.group[page] = 0;
    },
  ],
  "a page on no list": [/1 frames in use are on no list/, ({ kernel, page }) => kernel.lru.remove(page)],
  "a page that is still locked": [
    /frame \d+ is still locked/,
    ({ kernel, page }) => {
      kernel.frames.flags[page] |= PG_LOCKED;
    },
  ],
  "a group charged too much": [/group some: charged 5, has 4/, ({ group }) => group.usagePages++],
  "a root charged for nothing": [
    /group \/: charged 1, has 0/,
    ({ kernel }) => kernel.groups.root.usagePages++,
  ],
  "a frame that is free twice": [
    /frame \d+ is free twice/,
    ({ kernel }) => {
      const free = kernel.frames.take();
      kernel.frames.refcount[free] = 0;
      kernel.frames.giveBack(free);
      kernel.frames.lruNext[free] = free;
    },
  ],
  "a frame that was taken and forgotten": [
    /frame \d+: refcount 1, 0 references/,
    ({ kernel }) => kernel.frames.take(),
  ],
};

describe("checkInvariants names", () => {
  test.each(Object.entries(DAMAGES))("%s", (_, [named, damage]) => {
    const state = sound();
    damage(state);
    expect(() => state.kernel.checkInvariants()).toThrow(named);
    expect(() => state.kernel.checkInvariants()).toThrow(InvariantError);
  });
});

describe("while tasks are in flight", () => {
  test("they may hold references, locks and pages off the lists", () => {
    const { kernel, page } = sound();
    kernel.lru.remove(page);
    kernel.frames.refcount[page]++;
    kernel.frames.flags[page] |= PG_LOCKED;
    kernel.checkInvariants({ tasksInFlight: true });
    expect(() => kernel.checkInvariants()).toThrow(InvariantError);
  });

  test("but no PTE is counted wrong, and no reference is missing", () => {
    for (const damage of [
      ({ kernel, page }: Sound) => kernel.frames.mapcount[page]++,
      ({ kernel, page }: Sound) => kernel.frames.refcount[page]--,
      ({ kernel }: Sound) => kernel.swap.areas[0].counts[1]++,
      ({ group }: Sound) => group.usagePages--,
    ]) {
      const state = sound();
      damage(state);
      expect(() => state.kernel.checkInvariants({ tasksInFlight: true })).toThrow(InvariantError);
    }
  });
});

test("a sound kernel passes: empty, without contents, without swap, with everything in use", () => {
  for (const setup of [{}, { contents: false }, { swapPages: [] }, { memoryPages: 1 }]) {
    const kernel = testKernel(setup);
    kernel.checkInvariants();
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 4 * PAGE, write: true });
    process.storeU64(address, 1n);
    kernel.memfdCreate({ sizePages: 1 }).fallocate(0, 1);
    kernel.checkInvariants();
    expect(process.loadU64(address)).toBe(setup.contents === false ? 0n : 1n);
  }
  expect(pattern(0)).not.toEqual(pattern(1));
});
