import { describe, expect, test } from "vitest";
import { fill, PAGE, pagemap, testKernel } from "../../test/support/model.ts";
import { Attachment, type WriteProtection } from "./attachment.ts";
import { MarkerDetector } from "./marker-detector.ts";
import { ModelTarget } from "./model-target.ts";
import { ModelWriteProtection } from "./model-write-protection.ts";
import type { Mapping } from "./target.ts";

const PAGES = 32;

function attached(protect?: (inner: WriteProtection) => WriteProtection) {
  const kernel = testKernel({ profile: "linux-6.18" });
  const process = kernel.createProcess();
  const memfd = kernel.memfdCreate({ sizePages: PAGES });
  const address = process.mmap({ lengthBytes: PAGES * PAGE, object: memfd, shared: true, write: true });
  fill(process, address, 24);
  const target = new ModelTarget(kernel, process);
  const inner = new ModelWriteProtection(process);
  const attachment = new Attachment({ target, protection: protect?.(inner) ?? inner });
  return { kernel, process, memfd, address, target, attachment };
}

describe("a pass", () => {
  test("at first arms what is present, and counts nothing as changed", () => {
    const { attachment, process, address } = attached();
    const { appeared, ...pass } = attachment.pass();
    expect(appeared.map(({ start }) => start)).toEqual([address]);
    expect(pass).toMatchObject({
      armed: 24,
      written: 0,
      swappedOut: 0,
      swappedIn: 0,
      healed: 0,
      vanished: [],
    });
    expect(pagemap(process, address, 2)).toEqual(["146", "146"]);
    attachment[Symbol.dispose]();
  });

  test("page-out then shows in pagemap, and is counted", () => {
    const { attachment, process, address, target } = attached();
    attachment.pass();
    process.madvise(address, 10 * PAGE, "PAGEOUT");
    expect(pagemap(process, address, 1)).toEqual(["84:31.1"]);
    const { counts } = new MarkerDetector(target).scan(target.mappings()[0]);
    expect(counts).toMatchObject({ swapped: 10, present: 14 });
    expect(attachment.pass()).toMatchObject({
      swappedOut: 10,
      swappedIn: 0,
      written: 0,
      armed: 0,
      doubtful: 10,
    });
    attachment[Symbol.dispose]();
  });

  test("arms anew what was written, and leaves what was read armed", () => {
    const { attachment, process, address } = attached();
    attachment.pass();
    process.madvise(address, 10 * PAGE, "PAGEOUT");
    attachment.pass();
    process.touchRead(address, 4 * PAGE);
    process.touchWrite(address + 4 * PAGE, 3 * PAGE);
    process.touchWrite(address + 20 * PAGE, 2 * PAGE);
    expect(attachment.pass()).toMatchObject({ swappedIn: 7, written: 5, armed: 5, healed: 0 });
    expect(attachment.pass()).toMatchObject({ written: 0, armed: 0 });
    attachment[Symbol.dispose]();
  });

  test("takes stale markers away: of what was removed, and of what others brought back", () => {
    const { attachment, process, memfd, address } = attached();
    attachment.pass();
    process.madvise(address, 10 * PAGE, "PAGEOUT");
    attachment.pass();
    process.madvise(address, 2 * PAGE, "REMOVE");
    memfd.pread(new Uint8Array(3 * PAGE), 5 * PAGE);
    expect(pagemap(process, address, 10).filter((entry) => entry !== "84:31.1")).toEqual([]);
    expect(attachment.pass()).toMatchObject({ healed: 5, swappedIn: 3, swappedOut: 0 });
    const marked = pagemap(process, address, 10).map((entry) => entry === "84:31.1");
    expect(marked).toEqual([false, false, true, true, true, false, false, false, true, true]);
    expect(attachment.pass().healed).toBe(0);
    attachment[Symbol.dispose]();
  });

  test("finds new mappings, and says which are gone", () => {
    const { attachment, process, memfd, address } = attached();
    attachment.pass();
    const more = process.mmap({ lengthBytes: 8 * PAGE, object: memfd, shared: true, write: true });
    process.touchRead(more, 8 * PAGE);
    process.munmap(address, PAGES * PAGE);
    const { appeared, vanished, armed, written } = attachment.pass();
    expect([appeared.map(({ start }) => start), vanished.map(({ start }) => start)]).toEqual([
      [more],
      [address],
    ]);
    expect([armed, written]).toEqual([8, 0]);
    attachment[Symbol.dispose]();
  });

  test("leaves out what can't be registered, and says why", () => {
    const { attachment } = attached((inner) => ({
      register: () => "it is not to be",
      arm: (mapping: Mapping) => inner.arm(mapping),
      resolve: (start, lengthBytes) => inner.resolve(start, lengthBytes),
      [Symbol.dispose]: () => inner[Symbol.dispose](),
    }));
    const { skipped, scans, armed } = attachment.pass();
    expect([skipped.map(({ reason }) => reason), scans, armed]).toEqual([["it is not to be"], [], 0]);
    attachment[Symbol.dispose]();
  });
});

test("private memory is left alone unless chosen", () => {
  const { attachment, process } = attached();
  const own = process.mmap({ lengthBytes: 4 * PAGE, write: true });
  process.touchWrite(own, 4 * PAGE);
  expect(attachment.pass().armed).toBe(24);
  attachment[Symbol.dispose]();
});

test("disposing of it leaves neither protection nor markers", () => {
  const { attachment, process, address } = attached();
  attachment.pass();
  process.madvise(address, 10 * PAGE, "PAGEOUT");
  attachment[Symbol.dispose]();
  expect(pagemap(process, address, 24)).toEqual([...Array(10).fill("0"), ...Array(14).fill("142")]);
});
