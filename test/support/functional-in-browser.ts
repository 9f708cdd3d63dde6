// The RFC's functional test, written once for any place that runs JavaScript: uses the model, and nothing else.
import { Kernel } from "ptemark/model";

export interface FunctionalRow {
  readonly step: string;
  /** Bit 63 of the page's pagemap entry. */
  readonly present: 0 | 1;
  /** Bit 62. */
  readonly swap: 0 | 1;
}

/** What the RFC reports for a patched kernel. */
export const EXPECTED_ROWS: readonly FunctionalRow[] = [
  { step: "FAULT1", present: 1, swap: 0 },
  { step: "PAGEOUT", present: 0, swap: 1 },
  { step: "FAULT2", present: 1, swap: 0 },
  { step: "REMOVE", present: 0, swap: 0 },
  { step: "PAGEOUT", present: 0, swap: 1 },
  { step: "REMOVE", present: 0, swap: 0 },
];

const PAGE_BYTES = 4096;
const ENTRY_BYTES = 8;

/** One shared page through its whole life; after each step, what its pagemap entry says. */
export function functionalTest(): FunctionalRow[] {
  const kernel = new Kernel({ profile: "rfc" });
  const process = kernel.createProcess();
  const object = kernel.memfdCreate({ sizePages: 1 });
  const addr = process.mmap({ lengthBytes: PAGE_BYTES, object, shared: true, write: true });

  const rows: FunctionalRow[] = [];
  const record = (step: string): void => {
    const entry = new Uint8Array(ENTRY_BYTES);
    process.pagemap.pread(entry, (addr / PAGE_BYTES) * ENTRY_BYTES);
    const high = new DataView(entry.buffer).getUint32(4, true);
    rows.push({ step, present: (high >>> 31) & 1 ? 1 : 0, swap: (high >>> 30) & 1 ? 1 : 0 });
  };

  process.storeU64(addr, 7n);
  record("FAULT1");
  process.madvise(addr, PAGE_BYTES, "PAGEOUT");
  record("PAGEOUT");
  if (process.loadU64(addr) !== 7n) throw new Error("the page came back from swap with other bytes");
  record("FAULT2");
  process.madvise(addr, PAGE_BYTES, "REMOVE");
  record("REMOVE");
  process.storeU64(addr, 8n);
  process.madvise(addr, PAGE_BYTES, "PAGEOUT");
  record("PAGEOUT");
  process.madvise(addr, PAGE_BYTES, "REMOVE");
  record("REMOVE");
  return rows;
}
