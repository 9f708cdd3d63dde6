/** The kernel's layouts and constants, bit for bit; imports nothing. */
export * from "./errno.ts";
export * from "./magic.ts";
export * from "./mman.ts";
export * from "./pagemap.ts";
export * from "./pagemap-scan.ts";
export * from "./pte.ts";
export * from "./pte-marker.ts";
export * from "./swap-entry.ts";
export * from "./userfaultfd.ts";
