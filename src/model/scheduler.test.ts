import { describe, expect, test } from "vitest";
import {
  bareKernel,
  endAll,
  fill,
  PAGE,
  pagemap,
  pattern,
  retire,
  type Setup,
  states,
  testKernel,
  wrongPages,
  wrongPagesOf,
} from "../../test/support/model.ts";
import { Access } from "./access.ts";
import type { Kernel } from "./kernel.ts";
import { PG_LOCKED } from "./page-frames.ts";
import { PageOut } from "./page-out.ts";
import type { Process } from "./process.ts";
import { isolate } from "./reclaim.ts";
import { interleave, type Task } from "./scheduler.ts";

/**
 * The processor's own steps take no turns here: with the kernel's there are orders enough. The explorer takes
 * all.
 */
class KernelSteps extends Access {
  override step(kernel: Kernel): void {
    if (this.stage === "walk") super.step(kernel);
    if (this.stage !== "done") super.step(kernel);
    if (this.stage === "walk") super.step(kernel);
  }
}

function access(process: Process, address: number, how: "load" | "store"): Access {
  return new KernelSteps(process.mm, address / PAGE, how);
}

/** A page-out of whatever frame there is when its turn comes; of none, it is done. */
class LatePageOut extends PageOut {
  readonly #frame: () => number;

  constructor(frame: () => number) {
    super();
    this.#frame = frame;
    this.stage = "lock";
  }

  override step(kernel: Kernel): void {
    if (this.pfn !== 0) {
      super.step(kernel);
      return;
    }
    const frame = this.#frame();
    if (frame > 0 && isolate(kernel, frame)) this.begin(frame, true);
    else this.stage = "done";
  }
}

interface Scenario {
  readonly kernel: Kernel;
  readonly tasks: readonly Task[];
  /** What must be so when all tasks have ended. Returns what came of it, for the tally. */
  readonly check: () => string;
}

/** Ends everything, and makes sure that nothing is left. */
function finish(kernel: Kernel): void {
  endAll(kernel);
  // A page that was being written when its last owner let go of it is in the swap cache until reclaim comes
  // by.
  kernel.reclaimAll();
  retire(kernel);
}

/** Thrown to end a run whose rest is another run's. */
class Redundant extends Error {}

/**
 * Runs a scenario in all orders that there are: each run takes another branch where the last one still had
 * one. All that must be true is checked between any two stages. A task whose turn came while it had to wait
 * did nothing: that branch is the same as its neighbours, and is not followed. Returns how often each outcome
 * was seen.
 */
function inAllOrders(scenario: () => Scenario): { runs: number; outcomes: Map<string, number> } {
  const outcomes = new Map<string, number>();
  /** Of each choice of the last run: which was taken, of how many, and whether any led on. */
  const path: { taken: number; of: number; ledOn: boolean }[] = [];
  let runs = 0;
  for (;;) {
    const { kernel, tasks, check } = scenario();
    const known = path.length;
    let depth = 0;
    let before = "";
    const choose = (count: number): number => {
      const now = tasks.map((task) => `${task.stage} ${task instanceof Access ? task.faults : ""}`).join();
      if (depth > 0 && now === before && tasks.some((task) => task instanceof Access && task.isBlocked))
        throw new Redundant();
      if (depth > 0) path[depth - 1].ledOn = true;
      before = now;
      // What comes before the new branch was checked in an earlier run.
      if (depth >= known) {
        kernel.checkInvariants({ tasksInFlight: true });
        path.push({ taken: 0, of: count, ledOn: false });
      }
      return path[depth++].taken;
    };
    try {
      interleave(kernel, tasks, choose);
      path[path.length - 1].ledOn = true;
      kernel.checkInvariants();
      const outcome = check();
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      finish(kernel);
      runs++;
    } catch (error) {
      if (!(error instanceof Redundant)) throw error;
    }
    for (let last = path.at(-1); last !== undefined && last.taken + 1 === last.of; last = path.at(-1)) {
      if (!last.ledOn) throw new Error("all tasks wait for each other");
      path.pop();
    }
    const last = path.at(-1);
    if (last === undefined) return { runs, outcomes };
    last.taken++;
  }
}

/** Runs a scenario in so many orders, drawn from a seed: where there are too many for all. */
function inSomeOrders(runs: number, scenario: () => Scenario): Map<string, number> {
  const outcomes = new Map<string, number>();
  let random = 1;
  for (let run = 0; run < runs; run++) {
    const { kernel, tasks, check } = scenario();
    interleave(kernel, tasks, (count) => {
      kernel.checkInvariants({ tasksInFlight: true });
      random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
      return Math.floor((random / 2 ** 32) * count);
    });
    const outcome = check();
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    finish(kernel);
  }
  return outcomes;
}

const SMALL: Setup = { memoryPages: 8, swapPages: [8], config: { fault_around_bytes: 4096 } };

const ALL_OUTCOMES = ["freed, major", "freed, minor", "kept, minor"];

/** What happened to the page-out, and whether any fault had to read from swap. */
function outcome(pageOut: PageOut, faults: readonly Access[]): string {
  for (const fault of faults) expect(fault.result).toBe("ok");
  return `${pageOut.freed ? "freed" : "kept"}, ${faults.some((fault) => fault.isMajor) ? "major" : "minor"}`;
}

/** Two processes that map one page of an object, which holds `pattern(0)`. */
function shared(setup: Setup) {
  const kernel = bareKernel(setup);
  const object = kernel.memfdCreate({ sizePages: 1 });
  const [a, b] = [kernel.createProcess(), kernel.createProcess()];
  const options = { lengthBytes: PAGE, object, shared: true, write: true };
  const [inA, inB] = [a.mmap(options), b.mmap(options)];
  fill(a, inA, 1);
  return { kernel, object, a, b, inA, inB };
}

describe("two faults on one page of an object, and its page-out", () => {
  for (const [name, setup] of [
    ["zram", SMALL],
    ["a disk", { ...SMALL, synchronous: false }],
    ["no markers", { ...SMALL, profile: "linux-6.1" }],
    ["6.18", { ...SMALL, profile: "linux-6.18" }],
  ] as const)
    test(`${name}: no order loses a byte`, () => {
      const { runs, outcomes } = inAllOrders(() => {
        const { kernel, object, a, b, inA, inB } = shared(setup);
        a.madvise(inA, PAGE, "DONTNEED");
        const faults = [access(a, inA, "store"), access(b, inB, "load")];
        const pageOut = kernel.startPageOut(object.frameAt(0))!;
        return {
          kernel,
          tasks: [...faults, pageOut],
          check: () => {
            expect([wrongPages(a, inA, 1), wrongPages(b, inB, 1), wrongPagesOf(object, 0, 1)]).toEqual([
              [],
              [],
              [],
            ]);
            expect(a.frameAt(inA)).toBe(b.frameAt(inB));
            b.storeU64(inB, 5n);
            expect(a.loadU64(inA)).toBe(5n);
            return outcome(pageOut, faults);
          },
        };
      });
      // Less than 10! / (3! 3! 4!): a task that has to wait cannot go first.
      expect(runs).toBeGreaterThan(100);
      expect([...outcomes.keys()].sort()).toEqual(name === "a disk" ? ["kept, minor"] : ALL_OUTCOMES);
    });

  test("mapped and written by one: the other's fault and its own next one, in all orders", () => {
    const { outcomes } = inAllOrders(() => {
      const { kernel, object, a, b, inA, inB } = shared(SMALL);
      const pageOut = kernel.startPageOut(object.frameAt(0))!;
      const faults = [access(a, inA, "store"), access(b, inB, "store")];
      return {
        kernel,
        tasks: [pageOut, ...faults],
        check: () => {
          expect([wrongPages(a, inA, 1), wrongPages(b, inB, 1)]).toEqual([[], []]);
          return outcome(pageOut, faults);
        },
      };
    });
    expect([...outcomes.keys()].sort()).toEqual(ALL_OUTCOMES);
  });

  test("with fault-around: what is being paged out is not mapped by it", () => {
    const { runs } = inAllOrders(() => {
      const kernel = bareKernel({ ...SMALL, config: {} });
      const object = kernel.memfdCreate({ sizePages: 2 });
      const process = kernel.createProcess();
      const address = process.mmap({ lengthBytes: 2 * PAGE, object, shared: true, write: true });
      for (const page of [0, 1]) object.pwrite(pattern(page), page * PAGE);
      const pageOut = kernel.startPageOut(object.frameAt(0))!;
      const faults = [access(process, address + PAGE, "load"), access(process, address, "load")];
      return {
        kernel,
        tasks: [pageOut, ...faults],
        check: () => {
          expect(wrongPages(process, address, 2)).toEqual([]);
          return outcome(pageOut, faults);
        },
      };
    });
    expect(runs).toBeGreaterThan(100);
  });
});

describe("two faults on a page in swap", () => {
  test.each([
    ["zram", true],
    ["a disk", false],
  ] as const)("%s: one reads it, the other waits or finds it", (_, synchronous) => {
    inAllOrders(() => {
      const { kernel, object, a, b, inA, inB } = shared({ ...SMALL, synchronous });
      kernel.reclaimAll();
      expect(states(object)).toEqual(["swapped"]);
      const faults = [access(a, inA, "store"), access(b, inB, "load")];
      return {
        kernel,
        tasks: faults,
        check: () => {
          expect(kernel.vmstat.pswpin).toBe(1);
          expect(a.frameAt(inA)).toBe(b.frameAt(inB));
          expect([wrongPages(a, inA, 1), wrongPages(b, inB, 1)]).toEqual([[], []]);
          return "";
        },
      };
    });
  });

  test.each([
    ["zram", true],
    ["a disk", false],
  ] as const)("%s: a page that is paged out again while a fault still reads it", (_, synchronous) => {
    for (const kind of ["anonymous", "shared"] as const) {
      const { outcomes } = inAllOrders(() => {
        const kernel = bareKernel({ ...SMALL, synchronous });
        const process = kernel.createProcess();
        const object = kernel.memfdCreate({ sizePages: 1 });
        const address =
          kind === "anonymous"
            ? process.mmap({ lengthBytes: PAGE, write: true })
            : process.mmap({ lengthBytes: PAGE, object, shared: true, write: true });
        fill(process, address, 1);
        kernel.reclaimAll();
        expect(kernel.frames.freeCount).toBe(kernel.frames.sizePages);
        const inUse = (): number => kernel.frames.refcount.findIndex((count) => count > 0);
        const pageOuts = [new LatePageOut(inUse), new LatePageOut(inUse)];
        const fault = access(process, address, "store");
        return {
          kernel,
          tasks: [fault, ...pageOuts],
          check: () => {
            expect(wrongPages(process, address, 1)).toEqual([]);
            expect(fault.result).toBe("ok");
            return `${pageOuts.map((pageOut) => pageOut.pfn > 0)}`;
          },
        };
      });
      expect([...outcomes.keys()]).toContain("true,false");
    }
  });

  test("that parent and child share: both get it, a store gets a copy", () => {
    for (const synchronous of [true, false])
      for (const how of ["load", "store"] as const)
        inSomeOrders(150, () => {
          const kernel = bareKernel({ ...SMALL, synchronous });
          const parent = kernel.createProcess();
          const address = parent.mmap({ lengthBytes: PAGE, write: true });
          fill(parent, address, 1);
          const child = parent.fork();
          kernel.reclaimAll();
          const faults = [access(parent, address, "store"), access(child, address, how)];
          return {
            kernel,
            tasks: faults,
            check: () => {
              parent.writeBytes(address, pattern(7));
              expect([wrongPages(parent, address, 1, 7), wrongPages(child, address, 1)]).toEqual([[], []]);
              return "";
            },
          };
        });
  });
});

describe("an anonymous page and its page-out", () => {
  test.each([
    ["zram", true],
    ["a disk", false],
  ] as const)("%s: a fault by the process that has it", (_, synchronous) => {
    for (const how of ["load", "store"] as const) {
      const { outcomes } = inAllOrders(() => {
        const kernel = bareKernel({ ...SMALL, synchronous });
        const process = kernel.createProcess();
        const address = process.mmap({ lengthBytes: PAGE, write: true });
        fill(process, address, 1);
        const pageOut = kernel.startPageOut(process.frameAt(address))!;
        const faults = [access(process, address, how), access(process, address, "load")];
        return {
          kernel,
          tasks: [pageOut, ...faults],
          check: () => {
            expect(wrongPages(process, address, 1)).toEqual([]);
            process.writeBytes(address, pattern(3));
            kernel.reclaimAll();
            expect(wrongPages(process, address, 1, 3)).toEqual([]);
            return outcome(pageOut, faults);
          },
        };
      });
      expect(outcomes.size).toBe(synchronous ? 2 : 1);
    }
  });

  for (const [name, synchronous] of [
    ["zram", true],
    ["a disk", false],
  ] as const) {
    /** Parent and child share the page; these of them store to it while it is paged out. */
    const copying = (stores: readonly ("parent" | "child")[]) => (): Scenario => {
      const kernel = bareKernel({ ...SMALL, synchronous });
      const parent = kernel.createProcess();
      const address = parent.mmap({ lengthBytes: PAGE, write: true });
      fill(parent, address, 1);
      const child = parent.fork();
      const pageOut = kernel.startPageOut(parent.frameAt(address))!;
      const faults = stores.map((who) => access(who === "child" ? child : parent, address, "store"));
      return {
        kernel,
        tasks: [pageOut, ...faults],
        check: () => {
          expect([wrongPages(parent, address, 1), wrongPages(child, address, 1)]).toEqual([[], []]);
          child.writeBytes(address, pattern(1));
          parent.writeBytes(address, pattern(2));
          expect([wrongPages(parent, address, 1, 2), wrongPages(child, address, 1, 1)]).toEqual([[], []]);
          return outcome(pageOut, faults);
        },
      };
    };

    test(`${name}: a copy on write by the child, in all orders`, () => {
      const { runs, outcomes } = inAllOrders(copying(["child"]));
      expect(runs).toBeGreaterThan(100);
      expect([...outcomes.keys()].sort()).toEqual(synchronous ? ALL_OUTCOMES : ["kept, minor"]);
    });

    test(`${name}: copies on write by both`, () => {
      const outcomes = inSomeOrders(300, copying(["child", "parent"]));
      expect([...outcomes.keys()].sort()).toEqual(synchronous ? ALL_OUTCOMES : ["kept, minor"]);
    });
  }

  test("in the swap cache, clean: freed, or mapped again", () => {
    const { outcomes } = inAllOrders(() => {
      const kernel = bareKernel({ ...SMALL, synchronous: false });
      const process = kernel.createProcess();
      const address = process.mmap({ lengthBytes: PAGE, write: true });
      fill(process, address, 1);
      process.madvise(address, PAGE, "PAGEOUT");
      const pageOut = kernel.startPageOut(process.frameAt(address))!;
      const fault = access(process, address, "store");
      return {
        kernel,
        tasks: [pageOut, fault],
        check: () => {
          expect(wrongPages(process, address, 1)).toEqual([]);
          return outcome(pageOut, [fault]);
        },
      };
    });
    expect([...outcomes.keys()].sort()).toEqual(["freed, major", "kept, minor"]);
  });
});

describe("a store that copies a page of an object while that is paged out", () => {
  const copying = (alsoLoads: readonly "load"[]) => (): Scenario => {
    const { kernel, object, a, b, inA } = shared(SMALL);
    const copy = b.mmap({ lengthBytes: PAGE, object, write: true });
    b.loadU64(copy);
    const pageOut = kernel.startPageOut(object.frameAt(0))!;
    const faults = [access(b, copy, "store"), ...alsoLoads.map((how) => access(a, inA, how))];
    return {
      kernel,
      tasks: [pageOut, ...faults],
      check: () => {
        expect([wrongPages(a, inA, 1), wrongPages(b, copy, 1)]).toEqual([[], []]);
        b.writeBytes(copy, pattern(4));
        expect([wrongPages(a, inA, 1), wrongPages(b, copy, 1, 4)]).toEqual([[], []]);
        return outcome(pageOut, faults);
      },
    };
  };

  test("in all orders", () => {
    expect(inAllOrders(copying([])).runs).toBeGreaterThan(100);
  });

  test("and another loads", () => {
    expect(inSomeOrders(300, copying(["load"])).size).toBeGreaterThan(1);
  });
});

describe("threads of one process", () => {
  test.each(["anonymous", "shared", "private"] as const)(
    "that store to one %s page: one wins, all see it",
    (kind) => {
      inAllOrders(() => {
        const kernel = bareKernel(SMALL);
        const process = kernel.createProcess();
        const object = kernel.memfdCreate({ sizePages: 1 });
        const lengthBytes = PAGE;
        const address =
          kind === "anonymous"
            ? process.mmap({ lengthBytes, write: true })
            : process.mmap({ lengthBytes, object, shared: kind === "shared", write: true });
        const faults = [0, 1, 2].map(() => access(process, address, "store"));
        return {
          kernel,
          tasks: faults,
          check: () => {
            expect(kernel.frames.sizePages - kernel.frames.freeCount).toBe(kind === "private" ? 2 : 1);
            fill(process, address, 1);
            expect(wrongPages(process, address, 1)).toEqual([]);
            return "";
          },
        };
      });
    },
  );

  test("a load of untouched memory beside a store: the zero page never hides the store", () => {
    inAllOrders(() => {
      const kernel = bareKernel(SMALL);
      const process = kernel.createProcess();
      const address = process.mmap({ lengthBytes: PAGE, write: true });
      const tasks = [access(process, address, "load"), access(process, address, "store")];
      return {
        kernel,
        tasks,
        check: () => {
          expect(process.frameAt(address)).toBeGreaterThan(0);
          return "";
        },
      };
    });
  });
});

test("two page-outs with one slot of swap between them: one goes, the other stays", () => {
  const { outcomes } = inAllOrders(() => {
    const kernel = bareKernel({ ...SMALL, swapPages: [1] });
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 2 * PAGE, write: true });
    fill(process, address, 2);
    const pageOuts = [0, 1].map((page) => kernel.startPageOut(process.frameAt(address + page * PAGE))!);
    return {
      kernel,
      tasks: pageOuts,
      check: () => {
        const freed = pageOuts.map((pageOut) => pageOut.freed);
        expect(wrongPages(process, address, 2)).toEqual([]);
        return String(freed);
      },
    };
  });
  expect([...outcomes.keys()].sort()).toEqual(["false,true", "true,false"]);
});

describe("asynchronous write-protection", () => {
  test("and a store and a page-out: the store is seen, the bytes are kept", () => {
    inAllOrders(() => {
      const { kernel, object, a, b, inA, inB } = shared({ ...SMALL, profile: "linux-6.18" });
      const uffd = a.userfaultfd();
      uffd.register(inA, PAGE);
      uffd.protect(inA, PAGE);
      const pageOut = kernel.startPageOut(object.frameAt(0))!;
      const faults = [access(a, inA, "store"), access(b, inB, "load")];
      return {
        kernel,
        tasks: [pageOut, ...faults],
        check: () => {
          // A store that found the page out brings it back protected, and is tried again.
          a.storeU64(inA, a.loadU64(inA));
          expect(Number.parseInt(pagemap(a, inA, 1)[0], 16) & 4).toBe(0);
          expect([wrongPages(a, inA, 1), wrongPages(b, inB, 1)]).toEqual([[], []]);
          return outcome(pageOut, faults);
        },
      };
    });
  });
});

describe("interleave", () => {
  test("asks whose turn it is among those that can go on, until all are done", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 2 * PAGE, write: true });
    const tasks = [process.startFault(address, true), process.startFault(address + PAGE, true)];
    const counts: number[] = [];
    interleave(kernel, tasks, (count) => {
      counts.push(count);
      return 0;
    });
    // Three stages each: the first until it is done, then the second alone.
    expect(counts).toEqual([2, 2, 2, 1, 1, 1]);
    expect(tasks.map((task) => task.result)).toEqual(["ok", "ok"]);
    expect(pagemap(process, address, 2)).toEqual(["103", "103"]);
  });

  test("of nothing asks nothing", () => {
    interleave(testKernel(), [], () => {
      throw new Error("asked");
    });
  });

  test("names a deadlock", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 1 });
    object.pwrite(pattern(0), 0);
    const address = process.mmap({ lengthBytes: PAGE, object, shared: true });
    const frame = object.frameAt(0);
    kernel.frames.flags[frame] |= PG_LOCKED;
    const faults = [process.startFault(address, false), process.startFault(address, false)];
    expect(() => interleave(kernel, faults, () => 0)).toThrow("deadlock: get-page, get-page");
    kernel.frames.flags[frame] &= ~PG_LOCKED;
    interleave(kernel, faults, (count) => count - 1);
    expect(wrongPages(process, address, 1)).toEqual([]);
  });
});
