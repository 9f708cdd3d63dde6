/** The entries of {@link Observation.procs}: how they are made, what they say in words, and as one letter. */

import {
  decodePagemapEntry,
  PM_HI_FILE,
  PM_HI_GUARD_REGION,
  PM_HI_MMAP_EXCLUSIVE,
  PM_HI_PRESENT,
  PM_HI_SOFT_DIRTY,
  PM_HI_SWAP,
  PM_HI_UFFD_WP,
  pagemapFlags,
} from "../abi/pagemap.ts";
import type { MarkerLayout } from "../abi/pte-marker.ts";

const PRESENT = pagemapFlags(PM_HI_PRESENT);
const SWAP = pagemapFlags(PM_HI_SWAP);
const FILE = pagemapFlags(PM_HI_FILE);
const UFFD_WP = pagemapFlags(PM_HI_UFFD_WP);
/** The other flags, in the order in which they are told. */
const FLAGS: readonly (readonly [flag: number, name: string])[] = [
  [FILE, "file"],
  [pagemapFlags(PM_HI_MMAP_EXCLUSIVE), "exclusive"],
  [pagemapFlags(PM_HI_SOFT_DIRTY), "soft-dirty"],
  [UFFD_WP, "uffd-wp"],
  [pagemapFlags(PM_HI_GUARD_REGION), "guard"],
];

/** The entry, and the digit of mincore, of a page where nothing is mapped. */
export const UNMAPPED = "-";

/** Bits 55-63 of a pagemap entry, in hex. */
const FLAGS_HEX: readonly string[] = Array.from({ length: 512 }, (_, flags) => flags.toString(16));

/** The text of a pagemap entry given as its two words; swap types from `areasMax` on are on no device. */
export function entryText(lo: number, hi: number, areasMax: number): string {
  const flags = pagemapFlags(hi);
  const type = lo & 31;
  if ((flags & SWAP) === 0 || type < areasMax) return FLAGS_HEX[flags];
  const { swapOffset } = decodePagemapEntry(lo, hi);
  return `${FLAGS_HEX[flags]}:${type}.${swapOffset}`;
}

/** The marker bits, by name: the kinds of a {@link MarkerLayout}. */
const MARKER_KINDS = ["UFFD_WP", "PAGEOUT", "POISONED", "GUARD"] as const;

/** Whether the entry maps a page. */
export function isPresent(entry: string): boolean {
  return entry !== UNMAPPED && (flagsOf(entry) & PRESENT) !== 0;
}

/** Whether the entry has the swap bit: its page is on a swap device, or it is a marker. */
export function isSwap(entry: string): boolean {
  return entry !== UNMAPPED && (flagsOf(entry) & SWAP) !== 0;
}

/** Whether the entry is write-protected through userfaultfd, present or not. */
export function isUffdWp(entry: string): boolean {
  return entry !== UNMAPPED && (flagsOf(entry) & UFFD_WP) !== 0;
}

/** Whether the entry maps a page that is no object's, or says where in swap such a page is. */
export function isPrivate(entry: string): boolean {
  return isPresent(entry) ? (flagsOf(entry) & FILE) === 0 : isSwap(entry) && !entry.includes(":");
}

/** An entry in words, such as `present|file|soft-dirty`, or `swap|soft-dirty (marker PAGEOUT)`. */
export function describeEntry(entry: string, layout?: MarkerLayout): string {
  if (entry === UNMAPPED) return "unmapped";
  const flags = flagsOf(entry);
  const names = FLAGS.filter(([flag]) => flags & flag).map(([, name]) => name);
  const state = flags & PRESENT ? "present" : flags & SWAP ? "swap" : "none";
  const marker = entry.includes(":") ? ` (marker ${markerName(entry, layout)})` : "";
  return [state, ...names].join("|") + marker;
}

/** What the letters of {@link entrySymbol} mean. */
export const ENTRY_LEGEND = "P present, S swap, M page-out marker, W other marker, . none, - unmapped";

/** An entry as one letter: see {@link ENTRY_LEGEND}. */
export function entrySymbol(entry: string, layout?: MarkerLayout): string {
  if (entry === UNMAPPED) return "-";
  if (isPresent(entry)) return "P";
  if (!isSwap(entry)) return ".";
  if (!entry.includes(":")) return "S";
  return markerName(entry, layout).includes("PAGEOUT") ? "M" : "W";
}

function flagsOf(entry: string): number {
  return Number.parseInt(entry, 16); // up to the colon
}

/** The kinds in a marker, or TYPE.OFFSET where the layout doesn't tell. */
function markerName(entry: string, layout: MarkerLayout | undefined): string {
  const text = entry.slice(entry.indexOf(":") + 1);
  const [type, bits] = text.split(".").map(Number);
  if (layout === undefined || type !== layout.type) return text;
  const kinds = MARKER_KINDS.filter((kind) => bits & layout[kind]);
  const known = kinds.reduce((sum, kind) => sum | layout[kind], 0);
  return known === bits && bits !== 0 ? kinds.join("|") : text;
}
