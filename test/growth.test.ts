// What must stay near linear as sizes double, counted in work: how much of the model's code runs, and its
// own counters. Not in seconds, so that a busy machine changes nothing.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Kernel, KernelOptions, Memfd, Process } from "../src/model/index.ts";
import { CodeCounter } from "./support/executed-code.ts";
import { EXPONENT_MAX, exponentOf, isNearLinear, type Measurement } from "./support/growth.ts";

type Model = typeof import("../src/model/index.ts");

const PAGE = 4096;
/** From one page table up: below, what crosses into a second costs more at once. */
const SIZES = [512, 1024, 2048, 4096];

let code: CodeCounter;
let model: Model;

beforeAll(async () => {
  // Before the model is loaded: code that is there already would not be counted.
  code = new CodeCounter("/src/model/");
  model = await import("../src/model/index.ts");
});
afterAll(() => code.stop());

/** What is measured: `prepare` makes it, for one size, out of what is not. */
type Scenario = (size: number) => () => void;

function measure(scenario: Scenario, sizes: readonly number[] = SIZES): Measurement[] {
  return sizes.map((size) => {
    const action = scenario(size);
    return { size, work: code.count(action) };
  });
}

function told(measurements: readonly Measurement[]): string {
  const list = measurements.map(({ size, work }) => `${size}: ${work}`).join(", ");
  return `exponent ${exponentOf(measurements).toFixed(2)} (${list})`;
}

function expectNearLinear(measurements: readonly Measurement[]): void {
  expect(isNearLinear(measurements), told(measurements)).toBe(true);
  // It did something, and more of it for more.
  expect(measurements.at(-1)?.work, told(measurements)).toBeGreaterThan(measurements[0].work);
}

/** A kernel with four pages of memory and of swap for each of `size`, none of them with bytes. */
function kernelFor(size: number, options: Partial<KernelOptions> = {}): Kernel {
  const pages = size * 4 + 64;
  return new model.Kernel({
    memoryPages: pages,
    contents: false,
    swap: [new model.MemorySwapDevice({ slots: pages })],
    ...options,
    config: { page_cluster: 0, ...options.config },
  });
}

interface Mapped {
  readonly kernel: Kernel;
  readonly process: Process;
  readonly address: number;
  readonly lengthBytes: number;
}

/** Private memory of `size` pages, all written. */
function written(size: number, options?: Partial<KernelOptions>): Mapped {
  const kernel = kernelFor(size, options);
  const process = kernel.createProcess();
  const lengthBytes = size * PAGE;
  const address = process.mmap({ lengthBytes, write: true });
  process.touchWrite(address, lengthBytes);
  return { kernel, process, address, lengthBytes };
}

/** The same of an object that is mapped shared. */
function writtenObject(size: number): Mapped & { readonly object: Memfd } {
  const kernel = kernelFor(size);
  const process = kernel.createProcess();
  const lengthBytes = size * PAGE;
  const object = kernel.memfdCreate({ sizePages: size });
  const address = process.mmap({ lengthBytes, object, shared: true, write: true });
  process.touchWrite(address, lengthBytes);
  return { kernel, process, address, lengthBytes, object };
}

/** Every second page gets other rights, so that each page is an area of its own. */
function cutUp({ process, address, lengthBytes }: Mapped): void {
  for (let at = address; at < address + lengthBytes; at += 2 * PAGE) process.mprotect(at, PAGE, {});
}

function writtenAreas(size: number): Mapped {
  const mapped = written(size);
  cutUp(mapped);
  return mapped;
}

/** `size` processes, children of one, which map the one page of an object. */
function sharedByMany(size: number): Mapped & { readonly children: readonly Process[] } {
  const mapped = writtenObject(1);
  const kernel = kernelFor(size);
  const process = kernel.createProcess();
  const object = kernel.memfdCreate({ sizePages: 1 });
  const address = process.mmap({ lengthBytes: PAGE, object, shared: true, write: true });
  process.touchWrite(address, PAGE);
  const children = Array.from({ length: size }, () => process.fork());
  for (const child of children) child.touchRead(address, PAGE);
  return { ...mapped, kernel, process, address, children };
}

describe("the classifier", () => {
  const of = (work: (size: number) => number): Measurement[] =>
    SIZES.map((size) => ({ size, work: work(size) }));

  test.each<[string, (size: number) => number, number]>([
    ["constant", () => 700, 0],
    ["linear", (n) => 30 * n, 1],
    ["linear with a start", (n) => 5000 + 30 * n, 0.8],
    ["n log n", (n) => n * Math.log2(n), 1.11],
  ])("accepts what is %s", (_, work, exponent) => {
    expect(isNearLinear(of(work))).toBe(true);
    expect(exponentOf(of(work))).toBeCloseTo(exponent, 0);
  });

  test.each<[string, (size: number) => number]>([
    ["quadratic", (n) => n * n],
    ["quadratic after a start", (n) => 20_000 + n * n],
    ["n to the 1.5", (n) => n ** 1.5],
    ["linear, and a little of a quadratic", (n) => 30 * n + n * n * 0.02],
  ])("rejects what is %s", (_, work) => {
    expect(isNearLinear(of(work))).toBe(false);
  });

  test.each<[string, Scenario]>([
    [
      "all of pagemap is read after each page",
      (size) => {
        const { process, address, lengthBytes } = written(size);
        const buffer = new Uint8Array(size * 8);
        return () => {
          for (let at = 0; at < lengthBytes; at += PAGE) {
            process.storeU64(address + at, 1n);
            process.mincore(address, lengthBytes);
            process.pagemap.pread(buffer, (address / PAGE) * 8);
          }
        };
      },
    ],
    [
      "the one page that all map is paged out and mapped again for each of them",
      (size) => {
        const { kernel, address, children } = sharedByMany(size);
        return () => {
          for (const child of children) {
            kernel.reclaimPages([child.frameAt(address)]);
            for (const other of children) other.touchRead(address, PAGE);
          }
        };
      },
    ],
  ])("rejects a quadratic planted in the model: %s", (_, scenario) => {
    const measurements = measure(scenario, [16, 32, 64, 128, 256]);
    expect(isNearLinear(measurements), told(measurements)).toBe(false);
    expect(exponentOf(measurements)).toBeGreaterThan(1.6);
  });
});

const SCENARIOS: Readonly<Record<string, Readonly<Record<string, Scenario>>>> = {
  fork: {
    "of n private pages": (size) => {
      const { process } = written(size);
      return () => process.fork();
    },
    "of n areas": (size) => {
      const { process } = writtenAreas(size);
      return () => process.fork();
    },
    "of n pages in swap": (size) => {
      const { kernel, process } = written(size);
      kernel.reclaimAll();
      return () => process.fork();
    },
    "n times from one process": (size) => {
      const { process } = written(1, { memoryPages: size * 4 });
      return () => {
        for (let i = 0; i < size; i++) process.fork();
      };
    },
    "n generations, each parent ending": (size) => {
      let { process } = written(4);
      return () => {
        for (let i = 0; i < size; i++) {
          const child = process.fork();
          process.exit();
          process = child;
        }
      };
    },
  },
  munmap: {
    "of n private pages": (size) => {
      const { process, address, lengthBytes } = written(size);
      return () => process.munmap(address, lengthBytes);
    },
    "of n pages of an object": (size) => {
      const { process, address, lengthBytes } = writtenObject(size);
      return () => process.munmap(address, lengthBytes);
    },
    "of n pages in swap": (size) => {
      const { kernel, process, address, lengthBytes } = written(size);
      kernel.reclaimAll();
      return () => process.munmap(address, lengthBytes);
    },
    "of n areas at once": (size) => {
      const { process, address, lengthBytes } = writtenAreas(size);
      return () => process.munmap(address, lengthBytes);
    },
    "of n areas one by one, from below": (size) => {
      const { process, address } = writtenAreas(size);
      return () => {
        for (let page = 0; page < size; page++) process.munmap(address + page * PAGE, PAGE);
      };
    },
    "of n areas one by one, from above": (size) => {
      const { process, address } = writtenAreas(size);
      return () => {
        for (let page = size - 1; page >= 0; page--) process.munmap(address + page * PAGE, PAGE);
      };
    },
    "of n areas far apart": (size) => {
      const kernel = kernelFor(size);
      const process = kernel.createProcess();
      const addresses = Array.from({ length: size }, (_, i) => 2 ** 32 + i * 2 ** 30);
      for (const address of addresses) process.mmap({ lengthBytes: PAGE, address, fixed: true, write: true });
      for (const address of addresses) process.touchWrite(address, PAGE);
      return () => {
        for (const address of addresses) process.munmap(address, PAGE);
      };
    },
    "by exit, of n areas": (size) => {
      const { process } = writtenAreas(size);
      return () => process.exit();
    },
    "by exit, of n children that share their pages": (size) => {
      const { process } = written(1, { memoryPages: size * 4 });
      const children = Array.from({ length: size }, () => process.fork());
      return () => {
        for (const child of children) child.exit();
      };
    },
  },
  mmap: {
    "of n areas wherever there is room": (size) => {
      const process = kernelFor(size).createProcess();
      return () => {
        for (let i = 0; i < size; i++) process.mmap({ lengthBytes: PAGE, write: i % 2 === 0 });
      };
    },
    "of n areas of two sizes, in turn": (size) => {
      const process = kernelFor(size).createProcess();
      return () => {
        for (let i = 0; i < size; i++)
          process.mmap({ lengthBytes: (i % 2 === 0 ? 1 : 9) * PAGE, write: i % 4 < 2 });
      };
    },
    "of n areas of one object": (size) => {
      const kernel = kernelFor(size);
      const process = kernel.createProcess();
      const object = kernel.memfdCreate({ sizePages: 1 });
      return () => {
        for (let i = 0; i < size; i++) process.mmap({ lengthBytes: PAGE, object, shared: true });
      };
    },
  },
  faults: {
    "that write n private pages": (size) => {
      const process = kernelFor(size).createProcess();
      const address = process.mmap({ lengthBytes: size * PAGE, write: true });
      return () => process.touchWrite(address, size * PAGE);
    },
    "that read n pages of an object": (size) => {
      const { kernel, lengthBytes, object } = writtenObject(size);
      const other = kernel.createProcess();
      const address = other.mmap({ lengthBytes, object, shared: true });
      return () => other.touchRead(address, lengthBytes);
    },
    "that copy n pages after fork": (size) => {
      const { process, address, lengthBytes } = written(size);
      process.fork();
      return () => process.touchWrite(address, lengthBytes);
    },
    "that bring n pages back from swap": (size) => {
      const { kernel, process, address, lengthBytes } = written(size);
      kernel.reclaimAll();
      return () => process.touchRead(address, lengthBytes);
    },
    "that bring n pages back from swap, with readahead": (size) => {
      const { kernel, process, address, lengthBytes } = written(size, { config: { page_cluster: 3 } });
      kernel.reclaimAll();
      return () => process.touchRead(address, lengthBytes);
    },
    "that bring n pages of an object back": (size) => {
      const { kernel, process, address, lengthBytes } = writtenObject(size);
      kernel.reclaimAll();
      return () => process.touchRead(address, lengthBytes);
    },
  },
  reclaim: {
    "of n private pages": (size) => {
      const { kernel } = written(size);
      return () => kernel.reclaimAll();
    },
    "of n pages of an object": (size) => {
      const { kernel } = writtenObject(size);
      return () => kernel.reclaimAll();
    },
    "by MADV_PAGEOUT of n pages": (size) => {
      const { process, address, lengthBytes } = written(size);
      return () => process.madvise(address, lengthBytes, "PAGEOUT");
    },
    "along the way, of n pages in a memory of a quarter": (size) => {
      const kernel = kernelFor(size, { memoryPages: size / 4 });
      const process = kernel.createProcess();
      const address = process.mmap({ lengthBytes: size * PAGE, write: true });
      return () => {
        process.touchWrite(address, size * PAGE);
        process.touchRead(address, size * PAGE);
      };
    },
    "along the way, of n pages in a group of a fixed limit": (size) => {
      const kernel = kernelFor(size);
      const process = kernel.createProcess({ group: kernel.createGroup("a", { limitPages: 64 }) });
      const address = process.mmap({ lengthBytes: size * PAGE, write: true });
      return () => process.touchWrite(address, size * PAGE);
    },
    "by swapoff, the other way, of n private pages": (size) => {
      const { kernel } = written(size);
      kernel.reclaimAll();
      return () => kernel.swapoff(kernel.swap.areas[0]);
    },
    "by swapoff, the other way, of n pages of an object": (size) => {
      const { kernel } = writtenObject(size);
      kernel.reclaimAll();
      return () => kernel.swapoff(kernel.swap.areas[0]);
    },
  },
  "reverse mapping": {
    "of one page that n processes map": (size) => {
      const { kernel, process, address } = sharedByMany(size);
      const frame = process.frameAt(address);
      return () => kernel.reclaimPages([frame]);
    },
    "of one private page that n children share": (size) => {
      const { kernel, process, address } = written(1, { memoryPages: size * 4 });
      for (let i = 0; i < size; i++) process.fork();
      return () => kernel.reclaimPages([process.frameAt(address)]);
    },
    "of n pages of an object, each in an area of its own": (size) => {
      const mapped = writtenObject(size);
      cutUp(mapped);
      return () => mapped.kernel.reclaimAll();
    },
    "of n private pages, each in an area of its own": (size) => {
      const { kernel } = writtenAreas(size);
      return () => kernel.reclaimAll();
    },
    "of pages that n children have copied": (size) => {
      const { kernel, process, address } = written(1, { memoryPages: size * 4 });
      const children = Array.from({ length: size }, () => process.fork());
      for (const child of children) child.touchWrite(address, PAGE);
      return () => kernel.reclaimAll();
    },
  },
  pagemap: {
    "of n present pages": (size) => {
      const { process, address } = written(size);
      const buffer = new Uint8Array(size * 8);
      return () => process.pagemap.pread(buffer, (address / PAGE) * 8);
    },
    "of n pages, some changed since it was last read": (size) => {
      const { kernel, process, address } = writtenObject(size);
      const buffer = new Uint8Array(size * 8);
      process.pagemap.pread(buffer, (address / PAGE) * 8);
      kernel.reclaimAll();
      return () => {
        for (let i = 0; i < 8; i++) {
          process.touchRead(address + (size / 8) * i * PAGE, PAGE);
          process.pagemap.pread(buffer, (address / PAGE) * 8);
        }
      };
    },
    "of n markers": (size) => {
      const { kernel, process, address } = writtenObject(size);
      kernel.reclaimAll();
      const buffer = new Uint8Array(size * 8);
      return () => process.pagemap.pread(buffer, (address / PAGE) * 8);
    },
    "of n areas": (size) => {
      const { process, address } = writtenAreas(size);
      const buffer = new Uint8Array(size * 8);
      return () => process.pagemap.pread(buffer, (address / PAGE) * 8);
    },
    "of n pages one by one": (size) => {
      const { process, address } = writtenAreas(size);
      const buffer = new Uint8Array(8);
      return () => {
        for (let page = 0; page < size; page++) process.pagemap.pread(buffer, (address / PAGE + page) * 8);
      };
    },
  },
  "a page cache": {
    "of n pages, punched": (size) => {
      const { object } = writtenObject(size);
      return () => object.punchHole(0, size * PAGE);
    },
    "of n pages, truncated": (size) => {
      const { object } = writtenObject(size);
      return () => object.ftruncate(0);
    },
    "of n pages 16 MiB apart, written": (size) => {
      const kernel = kernelFor(size);
      const object = kernel.memfdCreate({ sizePages: size * 4096 });
      return () => {
        for (let i = 0; i < size; i++) object.pwrite(new Uint8Array(8), i * 4096 * PAGE);
      };
    },
    "of n pages 16 MiB apart, written from the end": (size) => {
      const kernel = kernelFor(size);
      const object = kernel.memfdCreate({ sizePages: size * 4096 });
      return () => {
        for (let i = size - 1; i >= 0; i--) object.pwrite(new Uint8Array(8), i * 4096 * PAGE);
      };
    },
    "of n pages 16 MiB apart, truncated": (size) => {
      const kernel = kernelFor(size);
      const object = kernel.memfdCreate({ sizePages: size * 4096 });
      for (let i = 0; i < size; i++) object.pwrite(new Uint8Array(8), i * 4096 * PAGE);
      return () => object.ftruncate(0);
    },
    "of n pages 16 MiB apart, brought back by swapoff": (size) => {
      const kernel = kernelFor(size);
      const object = kernel.memfdCreate({ sizePages: size * 4096 });
      for (let i = 0; i < size; i++) object.pwrite(new Uint8Array(8), i * 4096 * PAGE);
      kernel.reclaimAll();
      return () => kernel.swapoff(kernel.swap.areas[0]);
    },
    "of n objects, closed": (size) => {
      const kernel = kernelFor(size);
      const objects = Array.from({ length: size }, () => kernel.memfdCreate({ sizePages: 1 }));
      for (const object of objects) object.pwrite(new Uint8Array(8), 0);
      return () => {
        for (const object of objects) object.close();
      };
    },
  },
  "the rest": {
    "mprotect of n pages": (size) => {
      const { process, address, lengthBytes } = written(size);
      return () => process.mprotect(address, lengthBytes, {});
    },
    "mprotect that makes n areas": (size) => {
      const mapped = written(size);
      return () => cutUp(mapped);
    },
    "mprotect that makes n areas one": (size) => {
      const { process, address, lengthBytes } = writtenAreas(size);
      return () => process.mprotect(address, lengthBytes, { write: true });
    },
    "mremap of n pages": (size) => {
      const { process, address, lengthBytes } = written(size);
      return () =>
        process.mremap({
          address,
          oldLengthBytes: lengthBytes,
          newLengthBytes: lengthBytes,
          to: address - 2 * lengthBytes,
        });
    },
    "MADV_DONTNEED over n areas": (size) => {
      const { process, address, lengthBytes } = writtenAreas(size);
      return () => process.madvise(address, lengthBytes, "DONTNEED");
    },
    "MADV_FREE of n pages": (size) => {
      const { process, address, lengthBytes } = written(size);
      return () => process.madvise(address, lengthBytes, "FREE");
    },
    "MADV_WILLNEED of n pages": (size) => {
      const { kernel, process, address, lengthBytes } = writtenObject(size);
      kernel.reclaimAll();
      return () => process.madvise(address, lengthBytes, "WILLNEED");
    },
    "MADV_POPULATE_WRITE of n pages": (size) => {
      const process = kernelFor(size).createProcess();
      const address = process.mmap({ lengthBytes: size * PAGE, write: true });
      return () => process.madvise(address, size * PAGE, "POPULATE_WRITE");
    },
    "clear_refs of n areas": (size) => {
      const { process } = writtenAreas(size);
      return () => process.clearRefs();
    },
    "mincore of n pages": (size) => {
      const { process, address, lengthBytes } = writtenAreas(size);
      return () => process.mincore(address, lengthBytes);
    },
    "smaps of n areas": (size) => {
      const { process } = writtenAreas(size);
      return () => process.smaps();
    },
    "smaps of n areas of an object in swap": (size) => {
      const mapped = writtenObject(size);
      cutUp(mapped);
      mapped.kernel.reclaimAll();
      return () => mapped.process.smaps();
    },
    "write-protection of n areas, and its end": (size) => {
      // Of 6.18, where one request may span areas.
      const mapped = written(size, { profile: "linux-6.18" });
      cutUp(mapped);
      const { process, address, lengthBytes } = mapped;
      const userfaultfd = process.userfaultfd();
      return () => {
        userfaultfd.register(address, lengthBytes);
        userfaultfd.protect(address, lengthBytes);
        process.touchRead(address, lengthBytes);
        userfaultfd.close();
      };
    },
  },
};

describe.each(Object.entries(SCENARIOS))("%s", (_, scenarios) => {
  test.each(Object.entries(scenarios))(`%s: exponent at most ${EXPONENT_MAX}`, (_name, scenario) => {
    expectNearLinear(measure(scenario));
  });
});

describe("by the model's own counters", () => {
  /** Grows of one counter of `kernel.work` over what is done to n pages. */
  function counted(
    counter: "pteReads" | "pteWrites" | "rmapVisits",
    scenario: (size: number) => [Kernel, () => void],
  ) {
    return SIZES.map((size) => {
      const [kernel, action] = scenario(size);
      const before = kernel.work[counter];
      action();
      return { size, work: kernel.work[counter] - before };
    });
  }

  test("page-out visits one area a page, however many areas the object has", () => {
    const measurements = counted("rmapVisits", (size) => {
      const mapped = writtenObject(size);
      cutUp(mapped);
      return [mapped.kernel, () => mapped.process.madvise(mapped.address, mapped.lengthBytes, "PAGEOUT")];
    });
    expect(measurements.map(({ size, work }) => work / size)).toEqual(SIZES.map(() => 1));
  });

  test("page-out of a page that n map visits each of them once", () => {
    const measurements = counted("rmapVisits", (size) => {
      const { kernel, process, address } = sharedByMany(size);
      return [kernel, () => kernel.reclaimPages([process.frameAt(address)])];
    });
    expect(measurements.map(({ size, work }) => work - size)).toEqual(SIZES.map(() => 1));
  });

  test("fork writes two PTEs a private page, the child's and the parent's made read-only", () => {
    const measurements = counted("pteWrites", (size) => {
      const { kernel, process } = written(size);
      return [kernel, () => process.fork()];
    });
    expect(measurements.map(({ size, work }) => work / size)).toEqual(SIZES.map(() => 2));
  });

  test("munmap writes one PTE a page", () => {
    const measurements = counted("pteWrites", (size) => {
      const { kernel, process, address, lengthBytes } = written(size);
      return [kernel, () => process.munmap(address, lengthBytes)];
    });
    expect(measurements.map(({ size, work }) => work / size)).toEqual(SIZES.map(() => 1));
  });
});
