/** Attached to a running process: its pagemap shows what is swapped out; after it, there is no trace. */
import { describe, expect, onTestFinished, type TestContext, test } from "vitest";
import { MADV_GUARD_INSTALL, PAGE_SIZE, PM_HI_SWAP, PM_HI_UFFD_WP } from "../../src/abi/index.ts";
import { PagemapFile, readSmaps } from "../../src/linux/index.ts";
import { holdSetting } from "../../src/linux/setting.ts";
import { SharedMemory } from "../../src/linux/shared-memory.ts";
import {
  type AttachOptions,
  attach,
  type LinuxAttachment,
  type Mapping,
  MarkerDetector,
} from "../../src/residency/index.ts";
import { type Holder, setUpHolders } from "../support/holder.ts";
import { needs } from "../support/live.ts";

const PAGES = 64;
const HUGE_PAGES = 512;
const SHMEM_ENABLED = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

const holders = setUpHolders();

const holder = (pages = PAGES, flags: readonly "huge"[] = []): Promise<Holder> => holders.start(pages, flags);

/** Attaches, for as long as the test runs. */
function attachTo(pid: number, options: AttachOptions = {}): LinuxAttachment {
  const made = attach(pid, options);
  onTestFinished(() => made[Symbol.dispose]());
  return made;
}

/** How many pages have all of these bits in the high word of their pagemap entries. */
function pagesWith(pid: number, address: number, pages: number, bits: number): number {
  using pagemap = PagemapFile.open(pid);
  const words = new Uint32Array(pages * 2);
  pagemap.read(address / PAGE_SIZE, words);
  let count = 0;
  for (let page = 0; page < pages; page++) if ((words[page * 2 + 1] & bits) === bits) count++;
  return count;
}

const MARKER = PM_HI_SWAP | PM_HI_UFFD_WP;

describe("attached to another process", () => {
  test("its own pagemap shows what is paged out, and passes tell what it did", async () => {
    const target = await holder();
    await target.tell("w", 0, 48);
    const { attachment, stoppedMs, thread } = attachTo(target.pid);
    expect([thread, stoppedMs > 0]).toEqual([target.pid, true]);
    expect(attachment.pass()).toMatchObject({
      armed: 48,
      written: 0,
      swappedOut: 0,
      swappedIn: 0,
      skipped: [],
    });

    await target.tell("o", 0, 40);
    expect(pagesWith(target.pid, target.address, PAGES, MARKER)).toBe(40);
    expect(attachment.pass()).toMatchObject({
      swappedOut: 40,
      swappedIn: 0,
      written: 0,
      armed: 0,
      healed: 0,
    });

    await target.tell("r", 0, 10); // still armed
    await target.tell("w", 20, 5);
    await target.tell("w", 44, 2);
    await target.tell("w", 60, 1); // new
    expect(attachment.pass()).toMatchObject({ swappedIn: 15, swappedOut: 0, written: 8, armed: 8 });

    await target.tell("z", 12, 3);
    const pass = attachment.pass();
    expect(pass).toMatchObject({ healed: 3, swappedIn: 0, swappedOut: 0 });
    expect(pass.scans[0].counts).toMatchObject({ swapped: 22, hole: 18 });
    expect(pagesWith(target.pid, target.address, PAGES, PM_HI_SWAP)).toBe(22);
    const marker = new MarkerDetector(attachment.target);
    expect(marker.scan(pass.scans[0].mapping).counts.swapped).toBe(22);
    expect(await target.tell("c")).toBe(0);
  });

  test("when it is over, there is no trace, and memory is as it was written", async () => {
    const target = await holder();
    await target.tell("w");
    const made = attach(target.pid);
    made.attachment.pass();
    await target.tell("o", 0, 30);
    const isRegistered = () => readSmaps(target.pid).some(({ vmFlags }) => vmFlags.has("uw"));
    expect([isRegistered(), pagesWith(target.pid, target.address, PAGES, PM_HI_UFFD_WP)]).toEqual([
      true,
      PAGES,
    ]);
    made[Symbol.dispose]();
    expect([isRegistered(), pagesWith(target.pid, target.address, PAGES, PM_HI_UFFD_WP)]).toEqual([false, 0]);
    expect(pagesWith(target.pid, target.address, PAGES, PM_HI_SWAP)).toBe(0);
    expect(await target.tell("c")).toBe(0);
  });

  test("a mapping that it makes is attached to by the next pass, and one that is gone is told", async () => {
    const target = await holder();
    await target.tell("w");
    const { attachment } = attachTo(target.pid);
    attachment.pass();
    const more = await target.tell("m");
    const { appeared, armed } = attachment.pass();
    expect([appeared.map(({ start }) => start), armed]).toEqual([[more], 0]);
    expect(readSmaps(target.pid).filter(({ vmFlags }) => vmFlags.has("uw"))).toHaveLength(2);
    await target.tell("u");
    expect(attachment.pass().vanished.map(({ start }) => start)).toEqual([more]);
  });

  test("only what is chosen is registered", async () => {
    const target = await holder();
    const { attachment } = attachTo(target.pid, { choose: ({ name }: Mapping) => name === "memfd:other" });
    expect(attachment.pass()).toMatchObject({ scans: [], armed: 0 });
    expect(readSmaps(target.pid).some(({ vmFlags }) => vmFlags.has("uw"))).toBe(false);
  });

  test("a process that ends is told of by ESRCH", async () => {
    const target = await holder();
    const { attachment } = attachTo(target.pid);
    attachment.pass();
    await target[Symbol.asyncDispose]();
    expect(() => attachment.pass()).toThrow("ESRCH");
  });
});

describe("huge pages", () => {
  async function hugeHolder(context: TestContext): Promise<Holder> {
    if (holders.zram !== undefined) holdSetting(holders.zram.guard, { path: SHMEM_ENABLED, value: "advise" });
    const target = await holder(HUGE_PAGES, ["huge"]);
    await target.tell("w");
    needs(context, hugeBytes(target) === 2 << 20 ? undefined : "huge pages in shared memory");
    return target;
  }

  function hugeBytes({ pid, address }: Holder): number {
    return readSmaps(pid).find(({ start }) => start === address)?.fields.ShmemPmdMapped ?? 0;
  }

  test("are left alone, and the mapping stays huge", async (context) => {
    const target = await hugeHolder(context);
    const { attachment } = attachTo(target.pid);
    expect(attachment.pass()).toMatchObject({ armed: 0, healed: 0 });
    expect(hugeBytes(target)).toBe(2 << 20);
    expect(attachment.pass().scans[0].counts).toMatchObject({ present: HUGE_PAGES });
  });

  test("are given up if asked; page-out of what comes back is visible then", async (context) => {
    const target = await hugeHolder(context);
    const { attachment } = attachTo(target.pid, { armHuge: true });
    expect(attachment.pass().armed).toBe(HUGE_PAGES);
    expect(hugeBytes(target)).toBe(0);
    // All of its markers are stale: they are healed.
    const { scans, healed } = attachment.pass();
    expect([scans[0].counts.cached, healed]).toEqual([HUGE_PAGES, HUGE_PAGES]);
    expect(pagesWith(target.pid, target.address, HUGE_PAGES, PM_HI_SWAP)).toBe(0);
    expect(await target.tell("c")).toBe(0);
    expect(attachment.pass().armed).toBe(HUGE_PAGES);
    await target.tell("o");
    expect(attachment.pass().swappedOut).toBe(HUGE_PAGES);
    expect(pagesWith(target.pid, target.address, HUGE_PAGES, MARKER)).toBe(HUGE_PAGES);
  });
});

test("a mapping with guard regions is left out, with the reason", (context) => {
  using memory = new SharedMemory(PAGES, "guarded");
  try {
    memory.madvise(3, 1, MADV_GUARD_INSTALL);
  } catch {
    needs(context, "guard regions in shared memory (Linux 6.15)");
  }
  const { attachment } = attachTo(process.pid, { choose: ({ name }) => name === "memfd:guarded" });
  const { skipped, armed } = attachment.pass();
  expect([skipped[0]?.reason, armed]).toEqual([expect.stringContaining("guard regions"), 0]);
});
