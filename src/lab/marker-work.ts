/**
 * What markers add to calls that meet them, by the model's counters: PTEs read and written a page, with
 * and without.
 */

import { PAGE_SIZE } from "../abi/index.ts";
import { Kernel, MemorySwapDevice, type Process } from "../model/index.ts";

export interface MarkerWork {
  readonly call: string;
  readonly without: { readonly pteReads: number; readonly pteWrites: number };
  readonly with: { readonly pteReads: number; readonly pteWrites: number };
  /** Of a real kernel: an id of `reference-costs.ts`. */
  readonly referenceId: string;
}

const PAGES = 4096;
const LENGTH = PAGES * PAGE_SIZE;

interface Case {
  readonly call: string;
  readonly referenceId: string;
  readonly shared: boolean;
  run(process: Process, address: number): void;
}

/** Each on a range that is swapped out as a whole. */
const CASES: readonly Case[] = [
  {
    call: "munmap",
    referenceId: "munmap, swapped out",
    shared: true,
    run: (process, address) => process.munmap(address, LENGTH),
  },
  {
    call: "mprotect",
    referenceId: "mprotect rw->r, swapped out",
    shared: true,
    run: (process, address) => process.mprotect(address, LENGTH, { write: false }),
  },
  {
    call: "fork, shared mapping",
    referenceId: "fork, shared, swapped out",
    shared: true,
    run: (process) => void process.fork(),
  },
  {
    call: "fork, private mapping with an anon_vma",
    referenceId: "fork, private with an anon_vma, swapped out",
    shared: false,
    run: (process) => void process.fork(),
  },
  {
    call: "mincore of the own mapping",
    referenceId: "mincore, the process's own mapping, swapped out",
    shared: true,
    run: (process, address) => void process.mincore(address, LENGTH),
  },
];

function measure({ shared, run }: Case, hasMarkers: boolean): MarkerWork["with"] {
  const kernel = new Kernel({
    profile: "rfc",
    config: { PTE_MARKER_PAGEOUT: hasMarkers },
    memoryPages: 2 * PAGES,
    swap: [new MemorySwapDevice({ slots: 2 * PAGES })],
    contents: false,
  });
  const process = kernel.createProcess();
  const object = kernel.memfdCreate({ sizePages: PAGES });
  if (!shared) object.fallocate(0, LENGTH);
  const address = process.mmap({ lengthBytes: LENGTH, object, shared, write: true });
  if (shared) process.touchWrite(address, LENGTH);
  else {
    // One private page makes the anon_vma for which fork copies the page table; the rest stay the object's.
    process.touchRead(address, LENGTH);
    process.touchWrite(address, PAGE_SIZE);
  }
  kernel.reclaimAll();
  const { pteReads, pteWrites } = kernel.work;
  run(process, address);
  return {
    pteReads: (kernel.work.pteReads - pteReads) / PAGES,
    pteWrites: (kernel.work.pteWrites - pteWrites) / PAGES,
  };
}

export function measureMarkerWork(): MarkerWork[] {
  return CASES.map((one) => ({
    call: one.call,
    referenceId: one.referenceId,
    without: measure(one, false),
    with: measure(one, true),
  }));
}
