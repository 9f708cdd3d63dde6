import { describe, expect, test } from "vitest";
import { createModelMachine, isSwap, parseProgram, runProgram } from "../../script/index.ts";
import { type Choices, inAllWays, RandomChoices } from "../choices.ts";
import { CLASSES } from "./causes.ts";
import { type Exploration, estimate, explore } from "./explore.ts";
import { compareFindings, mergeFindings } from "./findings.ts";
import { KernelSpace } from "./kernel-space.ts";
import { NamedRun, preludeOf } from "./names.ts";
import { checkScope, DEFAULT_SCOPE, DEFAULT_STAGES, type ExploreScope } from "./scope.ts";
import { walk } from "./walk.ts";

const programs = explore(DEFAULT_SCOPE);
const stages = explore({ ...DEFAULT_STAGES, depth: 1, calls: 0 });

function linesOf(exploration: Exploration, name: string): readonly string[] | undefined {
  return exploration.findings.find((finding) => finding.class === name)?.lines;
}

describe("programs of 2 processes, 2 pages, 6 operations", () => {
  test("are all searched, and nothing is broken in them", () => {
    expect(programs.end).toBe("complete");
    expect(programs.depth).toBe(6);
    expect(programs.states).toBeGreaterThan(5000);
    expect(programs.findings.filter(({ kind }) => kind === "broken")).toEqual([]);
  });

  test.each([
    ["forked", ["write A v0 0 1", "madvise A v0 0 1 PAGEOUT", "fork A B"]],
    ["swapoff", ["write A v0 0 1", "madvise A v0 0 1 PAGEOUT", "swapoff"]],
    ["descriptor-read", ["write A v0 0 1", "madvise A v0 0 1 PAGEOUT", "readfd o0 0 1"]],
    ["marker-zapped", ["write A v0 0 1", "madvise A v0 0 1 PAGEOUT", "madvise A v0 0 1 DONTNEED"]],
    ["other-fault", ["write A v0 0 1", "madvise A v0 0 1 PAGEOUT", "fork A B", "read B v0 0 1"]],
    ["clean-dropped", ["read A v0 0 1", "madvise A v0 0 1 PAGEOUT"]],
  ])("show %s, by the shortest program", (name, lines) => {
    const found = linesOf(programs, name);
    expect(found?.length).toBe(lines.length);
    // Of several that are as short, which is a matter of order; what it ends with is not.
    expect(found?.at(-1)?.replace(/[ABC] v0 [01]/, "_")).toBe(lines.at(-1)?.replace(/[ABC] v0 [01]/, "_"));
  });

  test("show that one of two sharers was zapped before the page-out", () => {
    const found = linesOf(programs, "sharer-zapped") ?? [];
    expect(found.length).toBe(5);
    expect(found.some((line) => line.endsWith("DONTNEED"))).toBe(true);
    expect(found.some((line) => line.startsWith("fork"))).toBe(true);
  });

  test("of Linux without the RFC never set PM_SWAP", () => {
    for (const profile of ["linux-6.1", "linux-6.18"]) {
      const { findings } = explore({ ...DEFAULT_SCOPE, profile, depth: 5 });
      expect(findings.every(({ kind }) => kind === "PM_SWAP clear, page swapped")).toBe(true);
      expect(findings.map((finding) => finding.class)).toContain("no-marker");
    }
  });

  test("on a disk, with swap for one page only, break nothing either", () => {
    const { findings, end } = explore({ ...DEFAULT_SCOPE, device: "disk", swapPages: 1, depth: 5 });
    expect(end).toBe("complete");
    expect(findings.filter(({ kind }) => kind === "broken")).toEqual([]);
    expect(findings.map((finding) => finding.class)).toContain("not-written");
  });
});

describe("all interleavings of two accesses and a page-out", () => {
  test("break nothing", () => {
    expect(stages.end).toBe("complete");
    expect(stages.findings.filter(({ kind }) => kind === "broken")).toEqual([]);
  });

  test("show the moment between unmapping and writing, and a page-out that gives up", () => {
    expect(linesOf(stages, "in-flight")).toEqual([
      "read A v0 0 1",
      "T1 starts: page 0 is paged out",
      "T1: lock",
      "T1: unmap from A",
    ]);
    expect(linesOf(stages, "not-written")).toBeDefined();
  });

  test("nor do those on a disk", () => {
    const { findings, end } = explore({ ...DEFAULT_STAGES, device: "disk", depth: 1, calls: 0 });
    expect(end).toBe("complete");
    expect(findings.filter(({ kind }) => kind === "broken")).toEqual([]);
  });
});

describe("a finding", () => {
  const runnable = programs.findings.map((finding) => [finding.class, finding] as const);

  test.each(runnable)("%s shows the same as a program on a model of its own", (_, finding) => {
    const text = [...preludeOf(DEFAULT_SCOPE), ...finding.lines].join("\n");
    const machine = createModelMachine({ profile: "rfc" });
    const steps = [...runProgram(parseProgram(text, { file: "finding" }), machine)];
    for (const { errno } of steps) expect(errno).toBe("");
    const [, process, page] = /process ([A-Z])'s PM_SWAP.*page (\d)/i.exec(finding.sentence) ?? [
      "",
      /process ([A-Z])/.exec(finding.sentence)?.[1],
      /[Pp]age (\d)/.exec(finding.sentence)?.[1],
    ];
    const last = steps[steps.length - 1];
    const isSet = isSwap(last.procs[process as string].v0[Number(page)]);
    const isSwapped = last.objs.o0[Number(page)] === "S";
    expect([isSet, isSwapped]).toEqual(
      finding.kind.startsWith("PM_SWAP set") ? [true, false] : [false, true],
    );
  });

  test("replays by its moves", () => {
    const space = new KernelSpace(DEFAULT_SCOPE);
    for (const finding of programs.findings) {
      const run = new NamedRun(space);
      for (const [i, move] of finding.moves.entries()) {
        expect(run.make(move)).toBe(true);
        if (i < finding.moves.length - 1) run.settle();
      }
      expect(run.lines).toEqual(finding.lines);
      const bit = CLASSES.findIndex(({ name }) => name === finding.class);
      expect(space.shown & (1 << bit)).not.toBe(0);
    }
  });

  test("is the same from shards, put together", () => {
    const scope: ExploreScope = { ...DEFAULT_SCOPE, depth: 5 };
    const whole = explore(scope).findings;
    const shards = [1, 2, 3].map((number) => explore(scope, { shard: { number, count: 3 } }).findings);
    const merged = mergeFindings(shards.reverse());
    expect(merged.map(({ seen, ...finding }) => finding)).toEqual(
      whole.map(({ seen, ...finding }) => finding),
    );
    for (const finding of whole) expect(compareFindings(finding, finding)).toBe(0);
  });
});

describe("states", () => {
  test("found are those that all programs come to, run one by one from the start", () => {
    const scope: ExploreScope = {
      ...DEFAULT_SCOPE,
      depth: 3,
      ops: ["read", "write", "pageout", "fork", "readfd"],
    };
    const space = new KernelSpace(scope);
    const bytes = new Uint8Array(space.stride);
    const seen = new Set<string>();
    let transitions = 0;
    const program = (choices: Choices): void => {
      space.begin();
      for (let level = 0; level < scope.depth; level++) {
        if (!space.apply(choices.choose(space.transitions), level)) return;
        transitions++;
        space.save(bytes, 0);
        seen.add(bytes.join());
        // The next move is made on the state as it is, not on a restored one.
      }
    };
    space.begin();
    space.save(bytes, 0);
    seen.add(bytes.join());
    const runs = inAllWays(program);
    expect(explore(scope).states).toBe(seen.size);
    expect(runs).toBeGreaterThan(seen.size * 4);
    expect(transitions).toBeGreaterThan(runs);
  });

  test("restored from their vector have the same vector, and go on in the same way", () => {
    for (const scope of [
      { ...DEFAULT_SCOPE, depth: 64, processes: 3, pages: 3, swapPages: 2 },
      DEFAULT_STAGES,
    ]) {
      const [space, other] = [new KernelSpace(scope), new KernelSpace(scope)];
      const [bytes, again] = [new Uint8Array(space.stride), new Uint8Array(space.stride)];
      for (let seed = 0; seed < 30; seed++) {
        const choices = new RandomChoices(seed);
        space.begin();
        for (let level = 0; level < 60; level++) {
          space.save(bytes, 0);
          other.load(bytes, 0);
          other.save(again, 0);
          expect(again).toEqual(bytes);
          const move = choices.choose(space.transitions);
          space.load(bytes, 0);
          const isTaken = space.apply(move, level);
          expect(other.apply(move, level)).toBe(isTaken);
          expect(other.shown).toBe(space.shown);
          if (!isTaken) space.load(bytes, 0);
        }
      }
    }
  });

  test("that differ only in names are one", () => {
    const space = new KernelSpace({ ...DEFAULT_SCOPE, sharers: 2 });
    const [first, second] = [new Uint8Array(space.stride), new Uint8Array(space.stride)];
    const numberOf = (kind: string, place: number, page: number): number =>
      space.moves.findIndex(
        (move) =>
          move.kind === "op" && move.op.kind === kind && move.op.place === place && move.op.page === page,
      );
    const vectorOf = (place: number, page: number, into: Uint8Array): void => {
      space.begin();
      space.apply(numberOf("write", place, page), 0);
      space.apply(numberOf("read", 1 - place, 1 - page), 1);
      space.apply(numberOf("pageout", place, page), 2);
      space.save(into, 0);
    };
    vectorOf(0, 0, first);
    for (const [place, page] of [
      [0, 1],
      [1, 0],
      [1, 1],
    ]) {
      vectorOf(place, page, second);
      expect(second).toEqual(first);
    }
  });
});

describe("what is broken is found:", () => {
  const space = (): KernelSpace => new KernelSpace({ ...DEFAULT_SCOPE, depth: 64 });

  /** The classes of random walks on a space that has been damaged. */
  function classesOf(damaged: KernelSpace, runs = 40): Set<string> {
    const seen = new Set<string>();
    for (let seed = 0; seed < runs; seed++)
      for (const name of walk(damaged, new RandomChoices(seed), 60).shown.keys()) seen.add(name);
    return seen;
  }

  test("a write to swap that never happens", () => {
    const damaged = space();
    damaged.world.kernel.swap.give = () => {};
    expect(classesOf(damaged)).toContain("data-lost");
  });

  test("a reference too many", () => {
    const damaged = space();
    const { kernel } = damaged.world;
    const { markAccessed } = kernel.lru;
    kernel.lru.markAccessed = (pfn) => {
      kernel.frames.refcount[pfn]++;
      markAccessed.call(kernel.lru, pfn);
    };
    expect(classesOf(damaged)).toContain("invariant");
  });

  test("nothing, where nothing is damaged", () => {
    const broken = CLASSES.filter(({ kind }) => kind === "broken").map(({ name }) => name);
    const seen = classesOf(space());
    expect(broken.filter((name) => seen.has(name))).toEqual([]);
  });

  test("a fault that is retried for ever", () => {
    const config = { finish_fault_orig_pte: false, PTE_MARKER_UFFD_WP: false };
    expect(linesOf(explore({ ...DEFAULT_SCOPE, config, depth: 3 }), "endless-fault")?.length).toBe(3);
    const staged = explore({ ...DEFAULT_STAGES, config, calls: 0, accesses: 1, depth: 2 });
    expect(staged.findings.find((finding) => finding.class === "endless-fault")?.isProgram).toBe(false);
  });

  test("a marker that no fault understands", () => {
    const config = { handle_pte_marker: false, PTE_MARKER_UFFD_WP: false };
    const { findings } = explore({ ...DEFAULT_SCOPE, config, depth: 3 });
    expect(findings.map((finding) => finding.class)).toContain("bad-pte");
    expect(findings.map((finding) => finding.class)).toContain("marker-on-hole");
  });
});

describe("an estimate", () => {
  test("counts what is small", () => {
    expect(estimate(DEFAULT_SCOPE)).toEqual({
      states: programs.states,
      bytes: expect.any(Number),
      isExact: true,
    });
  });

  test("is within a few times of what is large", () => {
    const scope: ExploreScope = { ...DEFAULT_SCOPE, sharers: 2, depth: 9 };
    const { states, isExact } = estimate(scope);
    const real = explore(scope).states;
    expect(isExact).toBe(false);
    expect(states / real).toBeGreaterThan(0.3);
    expect(states / real).toBeLessThan(4);
  });
});

test("a search that has no room says so", () => {
  const { end, states } = explore(DEFAULT_SCOPE, { capacity: 100 });
  expect(end).toBe("no memory");
  expect(states).toBe(100);
});

test.each<[Partial<ExploreScope>, string]>([
  [{ processes: 9 }, "scope: processes 9 must be an integer from 1 to 4"],
  [{ pages: 0 }, "scope: pages 0 must be an integer from 1 to 4"],
  [{ depth: 1.5 }, "scope: depth 1.5 must be an integer from 0 to 64"],
  [{ sharers: 3 }, "scope: 3 sharers are more than 2 processes"],
  [{ ops: ["fly" as "read"] }, 'scope: unknown op "fly": there are read, write'],
  [{ ops: [] }, "scope: no ops"],
  [{ device: "tape" as "disk" }, 'scope: device "tape" must be zram or disk'],
  [{ config: { page_cluster: 3 } }, "scope: page_cluster must be 0"],
  [{ profile: "vms" }, 'unknown profile "vms"'],
])("a scope %j is refused", (wrong, message) => {
  expect(() => checkScope({ ...DEFAULT_SCOPE, ...wrong })).toThrow(message);
});
