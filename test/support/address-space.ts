// Address spaces and anon_vmas by themselves, without a kernel: for tests of the structures.
import { AnonVmas } from "../../src/model/anon-vma.ts";
import { MemoryGroup } from "../../src/model/memory-group.ts";
import { Mm } from "../../src/model/mm.ts";
import { PageTablePool } from "../../src/model/page-table.ts";
import type { ShmemObject } from "../../src/model/shmem-object.ts";
import { VM_MAYREAD, VM_MAYWRITE, VM_READ, VM_WRITE, Vma } from "../../src/model/vma.ts";
import { Work } from "../../src/model/vmstat.ts";

/** A private, readable and writable area. */
export const PRIVATE_RW = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE;

/** Address spaces that share page tables and anon_vmas, as those of one machine do. */
export class AddressSpaces {
  readonly work = new Work();
  readonly pool = new PageTablePool(this.work);
  readonly anonVmas = new AnonVmas();
  readonly #group = new MemoryGroup(0, "/", Number.POSITIVE_INFINITY);
  #nextId = 1;

  create(): Mm {
    return new Mm(this.#nextId++, this.#group, this.pool, this.anonVmas);
  }
}

export interface AreaOptions {
  readonly start: number;
  readonly end: number;
  readonly flags?: number;
  readonly object?: ShmemObject;
  readonly pgoff?: number;
}

/** Puts an area in an address space, unmerged. */
export function addArea(mm: Mm, { start, end, flags = PRIVATE_RW, object, pgoff }: AreaOptions): Vma {
  const vma = new Vma(mm, start, end, flags, object ?? null, pgoff ?? (object === undefined ? start : 0));
  mm.insert(vma);
  return vma;
}
