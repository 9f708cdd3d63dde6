/**
 * What the RFC costs on a real kernel, in instructions: measured once, and kept here as data.
 *
 * Two kernels of one tree and configuration, 6.1.192, without PTE_MARKER_PAGEOUT and with the RFC ported: x86-64, one
 * CPU, HZ=250, PREEMPT_NONE, DEBUG_VM, MEM_SOFT_DIRTY, no huge pages, memory cgroup v1, mitigations off. They ran in
 * `qemu-system-x86_64` 7.2, TCG, `-icount shift=0,sleep=off,align=off` with 1 GiB, so that the time stamp
 * counter counts
 * guest instructions, user and kernel, timer ticks included (two calibration loops were right to 0.03 %). A static init
 * program used 64 MiB of a memfd, mapped shared unless said, in a memory cgroup of its own, with lzo-rle
 * zram of 512 MiB
 * and page-cluster 0 unless said; one warm-up round, 5 rounds a boot, 2 boots. Each state was checked before it was
 * measured, by mincore of an untouched mapping, lseek and pagemap. The boots agree within 0.2 %, fork and munmap of a
 * swapped-out range within 4 %.
 *
 * Instructions are not time: caches, TLBs, atomics and the latency of a device are not in them.
 */

export interface ReferenceCost {
  readonly id: string;
  /** Mean instructions a page of the range (of a sparse read: a page read), without the RFC and with it. */
  readonly stock: number;
  readonly rfc: number;
  /** All paired differences have one sign, and come to more than 3,000 instructions. */
  readonly beyondNoise: boolean;
  /** Minor faults of the whole range, where they were counted. */
  readonly stockFaults?: number;
  readonly rfcFaults?: number;
}

/** Pages of the range: 16,384, but for reads of one pagemap entry, 2,048. */
export const REFERENCE_COSTS: readonly ReferenceCost[] = [
  { id: "pagemap, one read of the whole range, never touched", stock: 16.28, rfc: 16.28, beyondNoise: false },
  { id: "pagemap, 512 entries a read, never touched", stock: 18.01, rfc: 18.0, beyondNoise: false },
  { id: "pagemap, 1 entry a read, never touched", stock: 5413.38, rfc: 5413.52, beyondNoise: false },
  { id: "mincore, untouched mapping, never touched", stock: 120.52, rfc: 120.5, beyondNoise: false },
  { id: "SEEK_DATA and SEEK_HOLE walk, never touched", stock: 0.08, rfc: 0.08, beyondNoise: false },
  { id: "mprotect rw->r, never touched", stock: 0.12, rfc: 0.12, beyondNoise: false },
  { id: "mprotect r->rw, never touched", stock: 0.13, rfc: 0.13, beyondNoise: false },
  { id: "fork, shared, never touched", stock: 4.17, rfc: 3.99, beyondNoise: false },
  { id: "pagemap, one read of the whole range, present", stock: 88.66, rfc: 88.67, beyondNoise: false },
  { id: "pagemap, 512 entries a read, present", stock: 88.63, rfc: 88.63, beyondNoise: false },
  { id: "pagemap, 1 entry a read, present", stock: 23442.7, rfc: 23443.0, beyondNoise: false },
  { id: "mincore, untouched mapping, present", stock: 232.83, rfc: 232.83, beyondNoise: false },
  { id: "mincore, the process's own mapping, present", stock: 17.61, rfc: 17.61, beyondNoise: false },
  { id: "SEEK_DATA and SEEK_HOLE walk, present", stock: 116.24, rfc: 116.23, beyondNoise: false },
  { id: "mprotect rw->r, present", stock: 79.3, rfc: 79.3, beyondNoise: false },
  { id: "mprotect r->rw, present", stock: 79.3, rfc: 79.3, beyondNoise: false },
  { id: "fork, shared, present", stock: 5.53, rfc: 5.39, beyondNoise: false },
  { id: "page-out, half-random pages", stock: 14788.86, rfc: 14803.9, beyondNoise: false },
  { id: "pagemap, one read of the whole range, swapped out", stock: 29.88, rfc: 71.89, beyondNoise: true },
  { id: "pagemap, 512 entries a read, swapped out", stock: 31.6, rfc: 73.64, beyondNoise: true },
  { id: "pagemap, 1 entry a read, swapped out", stock: 8816.66, rfc: 19593.63, beyondNoise: true },
  {
    id: "pagemap, one read of the whole range, swapped out, seen by a new mapping",
    stock: 16.29,
    rfc: 16.28,
    beyondNoise: false,
  },
  {
    id: "pagemap, 512 entries a read, swapped out, seen by a new mapping",
    stock: 18.02,
    rfc: 18.0,
    beyondNoise: false,
  },
  {
    id: "pagemap, 1 entry a read, swapped out, seen by a new mapping",
    stock: 5413.37,
    rfc: 5413.49,
    beyondNoise: false,
  },
  { id: "mincore, untouched mapping, swapped out", stock: 428.11, rfc: 428.12, beyondNoise: false },
  { id: "mincore, the process's own mapping, swapped out", stock: 477.29, rfc: 500.3, beyondNoise: true },
  { id: "SEEK_DATA and SEEK_HOLE walk, swapped out", stock: 82.21, rfc: 82.23, beyondNoise: false },
  { id: "mprotect rw->r, swapped out", stock: 14.27, rfc: 37.27, beyondNoise: true },
  { id: "mprotect r->rw, swapped out", stock: 14.28, rfc: 37.28, beyondNoise: true },
  { id: "fork, shared, swapped out", stock: 5.48, rfc: 5.34, beyondNoise: false },
  {
    id: "swap-in, read 1 byte a page, half-random pages, page-cluster 0",
    stock: 10682.82,
    rfc: 10761.59,
    beyondNoise: true,
    stockFaults: 0,
    rfcFaults: 0,
  },
  {
    id: "swap-in, write 1 byte a page, half-random pages, page-cluster 0",
    stock: 9296.12,
    rfc: 9375.01,
    beyondNoise: true,
    stockFaults: 0,
    rfcFaults: 0,
  },
  { id: "munmap, swapped out", stock: 9.74, rfc: 53.81, beyondNoise: true },
  { id: "munmap, present", stock: 376.89, rfc: 376.88, beyondNoise: false },
  { id: "munmap, never touched", stock: 0.44, rfc: 0.44, beyondNoise: false },
  {
    id: "swap-in, read 1 byte a page, half-random pages, page-cluster 3",
    stock: 10654.99,
    rfc: 10734.1,
    beyondNoise: true,
    stockFaults: 14336,
    rfcFaults: 14336,
  },
  {
    id: "swap-in, write 1 byte a page, half-random pages, page-cluster 3",
    stock: 9255.48,
    rfc: 9334.4,
    beyondNoise: true,
    stockFaults: 14336,
    rfcFaults: 14336,
  },
  { id: "page-out, same-filled pages", stock: 8419.81, rfc: 8437.58, beyondNoise: true },
  {
    id: "swap-in, read 1 byte a page, same-filled pages, page-cluster 0",
    stock: 8688.43,
    rfc: 8767.32,
    beyondNoise: true,
    stockFaults: 0,
    rfcFaults: 0,
  },
  {
    id: "swap-in, write 1 byte a page, same-filled pages, page-cluster 0",
    stock: 7285.86,
    rfc: 7364.54,
    beyondNoise: true,
    stockFaults: 0,
    rfcFaults: 0,
  },
  { id: "page-out, incompressible pages", stock: 17800.42, rfc: 17815.57, beyondNoise: true },
  {
    id: "swap-in, read 1 byte a page, incompressible pages, page-cluster 0",
    stock: 9698.89,
    rfc: 9777.65,
    beyondNoise: true,
    stockFaults: 0,
    rfcFaults: 0,
  },
  {
    id: "swap-in, write 1 byte a page, incompressible pages, page-cluster 0",
    stock: 8290.3,
    rfc: 8368.87,
    beyondNoise: true,
    stockFaults: 0,
    rfcFaults: 0,
  },
  {
    id: "pagemap, one read of the whole range, every 2nd page swapped out",
    stock: 58.4,
    rfc: 79.42,
    beyondNoise: true,
  },
  {
    id: "pagemap, 512 entries a read, every 2nd page swapped out",
    stock: 60.12,
    rfc: 81.11,
    beyondNoise: true,
  },
  {
    id: "pagemap, 1 entry a read, every 2nd page swapped out",
    stock: 16144.0,
    rfc: 21521.96,
    beyondNoise: true,
  },
  {
    id: "mincore, untouched mapping, every 2nd page swapped out",
    stock: 330.33,
    rfc: 330.35,
    beyondNoise: false,
  },
  {
    id: "SEEK_DATA and SEEK_HOLE walk, every 2nd page swapped out",
    stock: 99.22,
    rfc: 99.22,
    beyondNoise: false,
  },
  {
    id: "pagemap, one read of the whole range, every 2nd page swapped out, the rest never written",
    stock: 29.87,
    rfc: 50.88,
    beyondNoise: true,
  },
  {
    id: "pagemap, 512 entries a read, every 2nd page swapped out, the rest never written",
    stock: 31.62,
    rfc: 52.65,
    beyondNoise: true,
  },
  {
    id: "pagemap, 1 entry a read, every 2nd page swapped out, the rest never written",
    stock: 8816.65,
    rfc: 14194.68,
    beyondNoise: true,
  },
  {
    id: "mincore, untouched mapping, every 2nd page swapped out, the rest never written",
    stock: 315.08,
    rfc: 315.06,
    beyondNoise: false,
  },
  {
    id: "SEEK_DATA and SEEK_HOLE walk, every 2nd page swapped out, the rest never written",
    stock: 567.06,
    rfc: 567.04,
    beyondNoise: false,
  },
  { id: "fork, private with an anon_vma, present", stock: 116.66, rfc: 116.48, beyondNoise: false },
  { id: "fork, private with an anon_vma, swapped out", stock: 20.46, rfc: 54.73, beyondNoise: true },
  {
    id: "sequential read, back in the page cache by another process",
    stock: 432.73,
    rfc: 3920.59,
    beyondNoise: true,
    stockFaults: 1024,
    rfcFaults: 16384,
  },
  {
    id: "sequential read, in the page cache, mapping never touched",
    stock: 434.59,
    rfc: 434.61,
    beyondNoise: false,
    stockFaults: 1024,
    rfcFaults: 1024,
  },
  {
    id: "sequential read, back in the page cache through a descriptor",
    stock: 432.72,
    rfc: 3920.59,
    beyondNoise: true,
    stockFaults: 1024,
    rfcFaults: 16384,
  },
  {
    id: "sequential read, back in the page cache by another process, fault-around off",
    stock: 1409.65,
    rfc: 1488.7,
    beyondNoise: true,
    stockFaults: 16384,
    rfcFaults: 16384,
  },
  {
    id: "sequential read, in the page cache, mapping never touched, fault-around off",
    stock: 1411.49,
    rfc: 1411.49,
    beyondNoise: false,
    stockFaults: 16384,
    rfcFaults: 16384,
  },
  {
    id: "sequential write, back in the page cache by another process",
    stock: 1614.76,
    rfc: 1693.79,
    beyondNoise: true,
    stockFaults: 16384,
    rfcFaults: 16384,
  },
  {
    id: "sparse read, 1 page in 16, back in the page cache by another process",
    stock: 6848.65,
    rfc: 3920.57,
    beyondNoise: true,
    stockFaults: 1024,
    rfcFaults: 1024,
  },
];

/** Throws a RangeError for an id that there is not. */
export function costOf(id: string): ReferenceCost {
  const found = REFERENCE_COSTS.find((cost) => cost.id === id);
  if (found === undefined) throw new RangeError(`no reference cost "${id}"`);
  return found;
}
