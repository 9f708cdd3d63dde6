import { describe, expect, it } from "vitest";
import { Kernel, MemorySwapDevice } from "../src/model/index.ts";

/** What docs/findings.md tells. */
describe("MADV_FREE by a forked child", () => {
  const PAGES = 8;

  /** The parent's first words after: write, page out, `touch`, fork, `inChild`, reclaim. */
  function parentReads(touch: "read" | "write", inChild: "MADV_FREE" | "nothing"): bigint[] {
    const kernel = new Kernel({ profile: "linux-6.18", swap: [new MemorySwapDevice({ slots: 256 })] });
    const parent = kernel.createProcess();
    const lengthBytes = PAGES * 4096;
    const address = parent.mmap({ lengthBytes, write: true });
    const addresses = Array.from({ length: PAGES }, (_, page) => address + page * 4096);
    for (const at of addresses) parent.storeU64(at, 9n);
    parent.madvise(address, lengthBytes, "PAGEOUT");
    if (touch === "read") parent.touchRead(address, lengthBytes);
    else for (const at of addresses) parent.storeU64(at, 9n);
    const child = parent.fork();
    if (inChild === "MADV_FREE") child.madvise(address, lengthBytes, "FREE");
    kernel.reclaimAll();
    kernel.checkInvariants();
    return addresses.map((at) => parent.loadU64(at));
  }

  it("loses the parent's pages that came back from swap by a read, as Linux does", () => {
    expect(parentReads("read", "MADV_FREE")).toEqual(new Array(PAGES).fill(0n));
  });

  it("loses none that were written since, and nothing is lost without it", () => {
    expect(parentReads("write", "MADV_FREE")).toEqual(new Array(PAGES).fill(9n));
    expect(parentReads("read", "nothing")).toEqual(new Array(PAGES).fill(9n));
  });
});
