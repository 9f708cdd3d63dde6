import { describe, expect, test } from "vitest";
import {
  failure,
  fill,
  PAGE,
  pagemap,
  pattern,
  type Setup,
  states,
  testKernel,
  wrongPages,
} from "../../test/support/model.ts";

const ASYNC: Setup = { profile: "linux-6.18" };

function shared(pages: number, setup: Setup = {}) {
  const kernel = testKernel(setup);
  const process = kernel.createProcess();
  const object = kernel.memfdCreate({ sizePages: pages });
  const address = process.mmap({ lengthBytes: pages * PAGE, object, shared: true, write: true });
  return { kernel, process, object, address };
}

function anonymous(pages: number, setup: Setup = {}) {
  const kernel = testKernel(setup);
  const process = kernel.createProcess();
  const address = process.mmap({ lengthBytes: pages * PAGE, write: true });
  return { kernel, process, address };
}

describe("a handler", () => {
  test("is called with the address of each page that is written, before the store", () => {
    const { process, address } = anonymous(3);
    fill(process, address, 3);
    const calls: [number, bigint][] = [];
    const uffd = process.userfaultfd((at) => {
      calls.push([(at - address) / PAGE, process.loadU64(at + 8)]);
      uffd.resolve(at, PAGE);
    });
    uffd.register(address, 3 * PAGE);
    uffd.protect(address, 2 * PAGE);
    const before = [0, 1].map((page) => process.loadU64(address + page * PAGE + 8));
    for (const page of [1, 0, 2, 1]) process.storeU64(address + page * PAGE + 8, 99n);
    expect(calls).toEqual([
      [1, before[1]],
      [0, before[0]],
    ]);
    expect(process.loadU64(address + PAGE + 8)).toBe(99n);
  });

  test("sees no loads", () => {
    const { process, address } = anonymous(1);
    fill(process, address, 1);
    const uffd = process.userfaultfd(() => {
      throw new Error("called");
    });
    uffd.register(address, PAGE);
    uffd.protect(address, PAGE);
    expect(wrongPages(process, address, 1)).toEqual([]);
  });

  test("may un-protect more than the page, and is not called for that", () => {
    const { process, address } = shared(4);
    fill(process, address, 4);
    let calls = 0;
    const uffd = process.userfaultfd(() => {
      calls++;
      uffd.resolve(address, 4 * PAGE);
    });
    uffd.register(address, 4 * PAGE);
    uffd.protect(address, 4 * PAGE);
    fill(process, address, 4, 10);
    expect([calls, wrongPages(process, address, 4, 10)]).toEqual([1, []]);
  });

  test("is called for a page that was out, once it is back", () => {
    for (const make of [anonymous, shared]) {
      const { process, address } = make(1);
      fill(process, address, 1);
      const seen: string[] = [];
      const uffd = process.userfaultfd((at) => {
        seen.push(...pagemap(process, at, 1));
        uffd.resolve(at, PAGE);
      });
      uffd.register(address, PAGE);
      uffd.protect(address, PAGE);
      process.madvise(address, PAGE, "PAGEOUT");
      process.writeBytes(address, pattern(3));
      expect([seen, wrongPages(process, address, 1, 3)]).toEqual([[make === shared ? "147" : "107"], []]);
    }
  });

  test("that does not un-protect the page is an error, not an endless loop", () => {
    const { process, address } = anonymous(1);
    fill(process, address, 1);
    const uffd = process.userfaultfd(() => {});
    uffd.register(address, PAGE);
    uffd.protect(address, PAGE);
    const page = `page 0x${address.toString(16)} is still write-protected`;
    expect(() => process.storeU64(address, 1n)).toThrow(page);
    expect(() => process.madvise(address, PAGE, "POPULATE_WRITE")).toThrow(page);
    expect(wrongPages(process, address, 1)).toEqual([]);
  });

  test("may unmap the page instead, or end the registration", () => {
    const { process, address } = anonymous(2);
    fill(process, address, 2);
    const uffd = process.userfaultfd((at) => {
      if (at === address) process.munmap(at, PAGE);
      else uffd.close();
    });
    uffd.register(address, 2 * PAGE);
    uffd.protect(address, 2 * PAGE);
    expect(failure(() => process.storeU64(address, 1n))).toBe("SIGSEGV");
    process.storeU64(address + PAGE, 1n);
    expect(process.loadU64(address + PAGE)).toBe(1n);
  });

  test("that throws leaves everything as it was", () => {
    const { kernel, process, address } = anonymous(1);
    fill(process, address, 1);
    const uffd = process.userfaultfd(() => {
      throw new Error("the handler gave up");
    });
    uffd.register(address, PAGE);
    uffd.protect(address, PAGE);
    expect(() => process.storeU64(address, 1n)).toThrow("the handler gave up");
    kernel.checkInvariants();
    uffd.resolve(address, PAGE);
    expect(wrongPages(process, address, 1)).toEqual([]);
  });

  test("un-protects by itself unless told otherwise, where the kernel has no asynchronous mode", () => {
    const { kernel, process, address } = anonymous(2);
    fill(process, address, 2);
    const uffd = process.userfaultfd();
    uffd.register(address, 2 * PAGE);
    uffd.protect(address, 2 * PAGE);
    const { pgfault } = kernel.vmstat;
    process.storeU64(address, 5n);
    expect(pagemap(process, address, 2)).toEqual(["103", "107"]);
    // One fault for the handler; the processor's is handled once more.
    expect(kernel.vmstat.pgfault - pgfault).toBe(2);
  });

  test("is used even where the kernel has it", () => {
    const { process, address } = anonymous(1, ASYNC);
    let calls = 0;
    const uffd = process.userfaultfd((at) => {
      calls++;
      uffd.resolve(at, PAGE);
    });
    uffd.register(address, PAGE);
    process.storeU64(address, 1n);
    uffd.protect(address, PAGE);
    process.storeU64(address, 2n);
    expect([calls, process.loadU64(address)]).toEqual([1, 2n]);
  });
});

describe("asynchronous mode", () => {
  test("un-protects at the store, in one fault", () => {
    const { kernel, process, address } = shared(3, ASYNC);
    fill(process, address, 3);
    const uffd = process.userfaultfd();
    uffd.register(address, 3 * PAGE);
    uffd.protect(address, 3 * PAGE);
    expect(pagemap(process, address, 3)).toEqual(["146", "146", "146"]);
    const { pgfault } = kernel.vmstat;
    process.storeU64(address + PAGE, 1n);
    expect(pagemap(process, address, 3)).toEqual(["146", "142", "146"]);
    expect(kernel.vmstat.pgfault - pgfault).toBe(1);
  });

  test("copies a page that parent and child share, un-protected in the copy", () => {
    const { process, address } = anonymous(1, ASYNC);
    fill(process, address, 1);
    const child = process.fork();
    const uffd = process.userfaultfd();
    uffd.register(address, PAGE);
    uffd.protect(address, PAGE);
    process.writeBytes(address, pattern(6));
    expect(pagemap(process, address, 1)).toEqual(["102"]);
    expect([wrongPages(process, address, 1, 6), wrongPages(child, address, 1)]).toEqual([[], []]);
  });

  test("write-protects what was never touched, by a marker", () => {
    const { process, address } = anonymous(2, ASYNC);
    const uffd = process.userfaultfd();
    uffd.register(address, 2 * PAGE);
    uffd.protect(address, PAGE);
    expect(pagemap(process, address, 2)).toEqual(["84:31.1", "0"]);
    process.loadU64(address);
    expect(pagemap(process, address, 1)).toEqual(["104"]);
    process.storeU64(address, 3n);
    expect([pagemap(process, address, 1), process.loadU64(address)]).toEqual([["102"], 3n]);
  });
});

describe("write-protecting", () => {
  test("never-touched anonymous memory makes a marker on 6.18 and none on 6.1", () => {
    const flags = ["linux-6.1", "rfc", "linux-6.18"].map((profile) => {
      const { process, address } = anonymous(1, { profile });
      const uffd = process.userfaultfd();
      uffd.register(address, PAGE);
      uffd.protect(address, PAGE);
      return pagemap(process, address, 1)[0];
    });
    expect(flags).toEqual(["1", "1", "84:31.1"]);
  });

  test("never-touched pages of an object makes a marker on all", () => {
    const flags = ["linux-6.1", "rfc", "linux-6.18"].map((profile) => {
      const { process, address } = shared(1, { profile });
      const uffd = process.userfaultfd();
      uffd.register(address, PAGE);
      uffd.protect(address, PAGE);
      return pagemap(process, address, 1)[0];
    });
    expect(flags).toEqual(["85:30.1", "85:30.1", "84:31.1"]);
  });

  test("replaces a PAGEOUT marker by a plain uffd-wp one; un-protecting leaves PAGEOUT markers alone", () => {
    const { process, address } = shared(3);
    fill(process, address, 3);
    process.madvise(address, 3 * PAGE, "PAGEOUT");
    const uffd = process.userfaultfd();
    uffd.register(address, 3 * PAGE);
    uffd.protect(address, 2 * PAGE);
    expect(pagemap(process, address, 3)).toEqual(["85:30.1", "85:30.1", "81:30.2"]);
    uffd.resolve(address + PAGE, 2 * PAGE);
    // A uffd-wp marker becomes none, though its page is in swap.
    expect(pagemap(process, address, 3)).toEqual(["85:30.1", "1", "81:30.2"]);
    expect(wrongPages(process, address, 3)).toEqual([]);
  });

  test("a fault on a uffd-wp marker brings the page back protected, by a load or a store", () => {
    const { process, address } = shared(2);
    fill(process, address, 2);
    const uffd = process.userfaultfd();
    uffd.register(address, 2 * PAGE);
    uffd.protect(address, 2 * PAGE);
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    process.loadU64(address);
    expect(pagemap(process, address, 2)).toEqual(["147", "85:30.1"]);
    process.storeU64(address + PAGE, process.loadU64(address + PAGE));
    expect(pagemap(process, address, 2)).toEqual(["147", "143"]);
    expect(wrongPages(process, address, 2)).toEqual([]);
  });

  test("holds over page-out and swap-in, of private pages in their swap entries", () => {
    const { process, address } = anonymous(2);
    fill(process, address, 2);
    const uffd = process.userfaultfd();
    uffd.register(address, 2 * PAGE);
    process.madvise(address, PAGE, "PAGEOUT");
    uffd.protect(address, 2 * PAGE);
    expect(pagemap(process, address, 2)).toEqual(["85", "107"]);
    process.loadU64(address);
    expect(pagemap(process, address, 2)).toEqual(["107", "107"]);
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    uffd.resolve(address, 2 * PAGE);
    expect(pagemap(process, address, 2)).toEqual(["81", "81"]);
    expect(wrongPages(process, address, 2)).toEqual([]);
  });

  test("of one process leaves another's mapping writable", () => {
    const { kernel, process, object, address } = shared(1);
    const other = kernel.createProcess();
    const inOther = other.mmap({ lengthBytes: PAGE, object, shared: true, write: true });
    process.storeU64(address, 1n);
    const uffd = process.userfaultfd();
    uffd.register(address, PAGE);
    uffd.protect(address, PAGE);
    other.storeU64(inOther, 2n);
    object.pwrite(pattern(1), 0);
    expect([pagemap(process, address, 1), wrongPages(process, address, 1, 1)]).toEqual([["145"], []]);
  });
});

describe("un-registering", () => {
  test("un-protects everything: present pages, swap entries and markers", () => {
    for (const close of [false, true]) {
      const { process, address } = shared(4);
      const own = process.mmap({ lengthBytes: 2 * PAGE, write: true });
      fill(process, address, 4);
      fill(process, own, 2, 10);
      const uffd = process.userfaultfd();
      uffd.register(address, 4 * PAGE);
      uffd.register(own, 2 * PAGE);
      uffd.protect(address, 4 * PAGE);
      uffd.protect(own, 2 * PAGE);
      process.madvise(address, 2 * PAGE, "PAGEOUT");
      process.madvise(own, PAGE, "PAGEOUT");
      if (close) uffd.close();
      else {
        uffd.unregister(address, 4 * PAGE);
        uffd.unregister(own, 2 * PAGE);
      }
      expect(pagemap(process, address, 4)).toEqual(["1", "1", "143", "143"]);
      expect(pagemap(process, own, 2)).toEqual(["81", "103"]);
      expect(failure(() => uffd.protect(address, PAGE))).toBe("ENOENT");
      fill(process, address, 4, 20);
      expect([wrongPages(process, address, 4, 20), wrongPages(process, own, 2, 10)]).toEqual([[], []]);
    }
  });

  test("a part leaves the rest, and the pieces join again afterwards", () => {
    const { process, address } = anonymous(4);
    fill(process, address, 4);
    const uffd = process.userfaultfd();
    uffd.register(address, 4 * PAGE);
    uffd.protect(address, 4 * PAGE);
    uffd.unregister(address + PAGE, 2 * PAGE);
    expect(pagemap(process, address, 4)).toEqual(["107", "103", "103", "107"]);
    expect(process.mm.vmas).toHaveLength(3);
    uffd.unregister(address, 4 * PAGE);
    expect(process.mm.vmas).toHaveLength(1);
  });

  test("is of the range alone, also where that ends in a gap", () => {
    const { process, address } = anonymous(6);
    fill(process, address, 6);
    process.munmap(address + 2 * PAGE, 2 * PAGE);
    const uffd = process.userfaultfd();
    uffd.register(address, 3 * PAGE);
    expect(failure(() => uffd.protect(address + 4 * PAGE, PAGE))).toBe("ENOENT");
    uffd.register(address, 6 * PAGE);
    uffd.protect(address + 4 * PAGE, 2 * PAGE);
    uffd.unregister(address, 3 * PAGE);
    expect(pagemap(process, address + 4 * PAGE, 2)).toEqual(["107", "107"]);
  });

  test("restores fault-around", () => {
    const { kernel, process, object, address } = shared(16);
    for (let page = 0; page < 16; page++) object.pwrite(pattern(page), page * PAGE);
    using uffd = process.userfaultfd();
    uffd.register(address, 16 * PAGE);
    process.loadU64(address);
    uffd.unregister(address, 16 * PAGE);
    process.loadU64(address + PAGE);
    expect(kernel.vmstat.pgfault).toBe(2);
    expect(wrongPages(process, address, 16)).toEqual([]);
    expect(kernel.vmstat.pgfault).toBe(2);
    expect(states(object)).toEqual(Array(16).fill("cached"));
  });
});

describe("what is refused", () => {
  test("registering what is not mapped, no length, or within a page: EINVAL", () => {
    const { process, address } = anonymous(2);
    const uffd = process.userfaultfd();
    expect(failure(() => uffd.register(address - PAGE, PAGE))).toBe("EINVAL");
    expect(failure(() => uffd.unregister(address - PAGE, PAGE))).toBe("EINVAL");
    expect(failure(() => uffd.register(address + PAGE, 0))).toBe("EINVAL");
    expect(failure(() => uffd.unregister(address + PAGE, 0))).toBe("EINVAL");
    expect(process.mm.vmas).toHaveLength(1);
    expect(failure(() => uffd.register(address + 8, PAGE))).toBe("EINVAL");
  });

  test.each([
    ["linux-6.1", "ENOMEM"],
    ["linux-6.18", "EINVAL"],
  ] as const)("%s: a range with nothing in it or above it: %s", (profile, errno) => {
    const { process, address } = anonymous(2, { profile });
    process.munmap(address + PAGE, PAGE);
    const uffd = process.userfaultfd();
    expect(failure(() => uffd.register(address + PAGE, PAGE))).toBe(errno);
    expect(failure(() => uffd.unregister(address + PAGE, PAGE))).toBe(errno);
  });

  test("6.18: un-registering a range with anything of another's in it: EINVAL, and nothing is done", () => {
    const { process, address } = anonymous(2, ASYNC);
    fill(process, address, 2);
    const [mine, other] = [process.userfaultfd(), process.userfaultfd()];
    mine.register(address, PAGE);
    other.register(address + PAGE, PAGE);
    mine.protect(address, PAGE);
    expect(failure(() => mine.unregister(address, 2 * PAGE))).toBe("EINVAL");
    expect(pagemap(process, address, 2)).toEqual(["106", "102"]);
    mine.unregister(address, PAGE);
    expect(pagemap(process, address, 2)).toEqual(["102", "102"]);
  });

  test.each([
    ["linux-6.1", "", 0],
    ["linux-6.18", "EINVAL", 4],
  ] as const)("%s: un-registering what another userfaultfd has: %j", (profile, errno, wp) => {
    const { process, address } = shared(1, { profile });
    const uffd = process.userfaultfd();
    uffd.register(address, PAGE);
    uffd.protect(address, PAGE);
    expect(failure(() => process.userfaultfd().unregister(address, PAGE))).toBe(errno);
    expect(Number.parseInt(pagemap(process, address, 1)[0], 16) & 4).toBe(wp);
  });

  test("registering what another userfaultfd has: EBUSY", () => {
    const { process, address } = anonymous(2);
    process.userfaultfd().register(address, PAGE);
    expect(failure(() => process.userfaultfd().register(address, 2 * PAGE))).toBe("EBUSY");
  });

  test("registering a mapping of an object where the kernel has no uffd-wp markers: EINVAL", () => {
    const { process, address } = shared(1, { config: { PTE_MARKER_UFFD_WP: false } });
    expect(failure(() => process.userfaultfd().register(address, PAGE))).toBe("EINVAL");
    const own = process.mmap({ lengthBytes: PAGE, write: true });
    process.userfaultfd().register(own, PAGE);
  });

  test("write-protecting what is not registered: ENOENT, what is done before stays done on 6.18", () => {
    const { process, address } = anonymous(4, ASYNC);
    fill(process, address, 4);
    const uffd = process.userfaultfd();
    uffd.register(address, 2 * PAGE);
    expect(failure(() => uffd.protect(address + 2 * PAGE, PAGE))).toBe("ENOENT");
    expect(failure(() => uffd.protect(address, 4 * PAGE))).toBe("ENOENT");
    expect(pagemap(process, address, 4)).toEqual(["106", "106", "102", "102"]);
    expect(failure(() => uffd.protect(address, 0))).toBe("EINVAL");
  });

  test.each([
    ["linux-6.1", "ENOENT"],
    ["linux-6.18", ""],
  ] as const)("%s: a range of two registered areas: %j", (profile, errno) => {
    const { process, address } = anonymous(4, { profile });
    fill(process, address, 4);
    process.mprotect(address, 2 * PAGE, {});
    const uffd = process.userfaultfd();
    uffd.register(address, 4 * PAGE);
    expect(failure(() => uffd.protect(address, 4 * PAGE))).toBe(errno);
    const wp = pagemap(process, address, 4).filter((flags) => (Number.parseInt(flags, 16) & 4) !== 0);
    expect(wp).toHaveLength(errno === "" ? 4 : 0);
  });
});
