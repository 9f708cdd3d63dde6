import type { Mapping } from "../residency/target.ts";

/** The same for a mapping as long as it is the same: its place, and what of which object it maps. */
export function keyOf({ start, end, objectId, objectFirstPage }: Mapping): string {
  return `${start}-${end} ${objectId} ${objectFirstPage}`;
}
