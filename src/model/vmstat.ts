/**
 * Event counters by the names of `/proc/vmstat` (`include/linux/vm_event_item.h`); pgscan and pgsteal are those of a
 * memory cgroup's `memory.stat`, which sums up what `/proc/vmstat` has by who scanned, and oom of its `memory.events`.
 */
export class Vmstat {
  pgfault = 0;
  pgmajfault = 0;
  pgreuse = 0;
  pgactivate = 0;
  pgdeactivate = 0;
  pglazyfree = 0;
  pglazyfreed = 0;
  pgscan = 0;
  pgsteal = 0;
  pswpin = 0;
  pswpout = 0;
  /** Pages that swap readahead brought in, and those of them that were used. */
  swap_ra = 0;
  swap_ra_hit = 0;
  oom = 0;
}

/**
 * Work done, counted where it is done, so that a mechanism's cost can be stated without a clock.
 * All are counts since the kernel was made.
 */
export class Work {
  pteReads = 0;
  pteWrites = 0;
  /** Look-ups of an object's page cache by index. */
  pageCacheLookups = 0;
  /** PTE markers installed by page-out. */
  pageoutMarkers = 0;
  /** Pages read from and written to swap devices. */
  swapReads = 0;
  swapWrites = 0;
  /** VMAs visited to find a page's mappings. */
  rmapVisits = 0;
  /** Faults on PTEs that the kernel can't make sense of (`print_bad_pte`). */
  badPtes = 0;
  /** Page tables allocated. */
  pageTables = 0;
}
