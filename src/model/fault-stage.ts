/** The stages that a page fault goes through, and how it can end. */

export type FaultStage =
  /** Find the area, read the PTE: none, a marker, a swap entry, or present but read-only? */
  | "look"
  /** A read fault on an object: map what the page cache has around it. */
  | "map-around"
  /** Find or make the page; read it from swap. */
  | "get-page"
  /** Lock the table, compare with the PTE that was seen first, install. */
  | "install"
  /** A write to a present, read-only page: may it be used as it is? */
  | "write-protect"
  /** No: make a copy. */
  | "copy"
  | "install-copy"
  | "done";

/** How a fault ended: "retry" means that the access is to be tried again. */
export type FaultResult = "ok" | "retry" | "SIGSEGV" | "SIGBUS" | "ENOMEM" | "userfault";

/** What the PTE said. */
export type FaultKind = "anonymous" | "object" | "swap";
