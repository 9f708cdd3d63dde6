/**
 * The abstraction of bench/spin/shmem.pml once more, as a space for the explorer's own search: no kernel in
 * it.
 */
import type { KernelSpace } from "../../src/lab/explore/index.ts";
import type { StateSpace } from "../../src/lab/explore/space.ts";
import { PG_DIRTY } from "../../src/model/page-frames.ts";

/** How a page is kept. */
const HOLE = 0;
const CLEAN = 1;
const DIRTY = 2;
const SWAPPED = 3;

/** What a PTE is. */
const NONE = 0;
const PRESENT = 1;
const WRITTEN = 2;
const MARKER = 3;

const MOVES_A_PAGE = 11;

function isPresent(pte: number): boolean {
  return pte === PRESENT || pte === WRITTEN;
}

/** A state is a byte a page, then a byte for each PTE of the first process, then of the second. */
export class ShmemSpace implements StateSpace {
  readonly stride: number;
  readonly transitions: number;
  readonly levels = Number.POSITIVE_INFINITY;
  readonly firstStep = Number.POSITIVE_INFINITY;
  readonly isUnfinished = false;
  readonly isUntouched = true;
  readonly shown = 0;
  readonly fatal = 0;
  readonly #pages: number;
  readonly #state: Uint8Array;

  constructor(pages: number) {
    this.#pages = pages;
    this.stride = Math.ceil((pages * 3) / 4) * 4;
    this.transitions = 1 + pages * MOVES_A_PAGE;
    this.#state = new Uint8Array(this.stride);
  }

  begin(): void {
    this.#state.fill(0);
  }

  load(from: Uint8Array, offset: number): void {
    for (let i = 0; i < this.stride; i++) this.#state[i] = from[offset + i];
  }

  reload(from: Uint8Array, offset: number): void {
    this.load(from, offset);
  }

  save(to: Uint8Array, offset: number): void {
    for (let i = 0; i < this.stride; i++) to[offset + i] = this.#state[i];
  }

  check(): number {
    return 0;
  }

  apply(move: number): boolean {
    if (move === 0) {
      for (let page = 0; page < this.#pages; page++) this.#pageOut(page);
      return true;
    }
    const page = Math.floor((move - 1) / MOVES_A_PAGE);
    this.#move((move - 1) % MOVES_A_PAGE, page);
    return true;
  }

  #move(kind: number, page: number): void {
    const state = this.#state;
    const first = this.#pages + page;
    const second = first + this.#pages;
    switch (kind) {
      case 0:
      case 1:
        this.#load(page, kind === 0 ? first : second);
        break;
      case 2:
      case 3:
        this.#store(page, kind === 2 ? first : second);
        break;
      case 4:
        if (isPresent(state[first]) && !isPresent(state[second])) this.#pageOut(page);
        break;
      case 5:
        if (isPresent(state[second]) && !isPresent(state[first])) this.#pageOut(page);
        break;
      case 6:
      case 7: {
        const pte = kind === 6 ? first : second;
        this.#unmap(page, pte, NONE);
        state[pte] = NONE;
        break;
      }
      case 8:
        state[page] = HOLE;
        state[first] = NONE;
        state[second] = NONE;
        break;
      case 9:
        if (state[page] === SWAPPED) state[page] = DIRTY;
        break;
      default:
        state[page] = DIRTY;
    }
  }

  #bringIn(page: number): void {
    if (this.#state[page] === HOLE) this.#state[page] = CLEAN;
    else if (this.#state[page] === SWAPPED) this.#state[page] = DIRTY;
  }

  #load(page: number, pte: number): void {
    if (isPresent(this.#state[pte])) return;
    this.#bringIn(page);
    this.#state[pte] = PRESENT;
  }

  #store(page: number, pte: number): void {
    if (!isPresent(this.#state[pte])) {
      this.#bringIn(page);
      this.#state[page] = DIRTY;
    }
    this.#state[pte] = WRITTEN;
  }

  #unmap(page: number, pte: number, leave: number): void {
    const was = this.#state[pte];
    if (!isPresent(was)) return;
    if (was === WRITTEN) this.#state[page] = DIRTY;
    this.#state[pte] = leave;
  }

  #pageOut(page: number): void {
    this.#unmap(page, this.#pages + page, MARKER);
    this.#unmap(page, this.#pages * 2 + page, MARKER);
    if (this.#state[page] === DIRTY) this.#state[page] = SWAPPED;
    else if (this.#state[page] === CLEAN) this.#state[page] = HOLE;
  }
}

/** What a state of the model is in this abstraction, in every order of pages and processes. */
export function abstractionsOf(space: KernelSpace): string[] {
  const { world, scope } = space;
  const pages = Array.from({ length: scope.pages }, (_, page) => {
    const entry = world.object.get(page);
    const isDirty = entry > 0 && (world.kernel.frames.flags[entry] & PG_DIRTY) !== 0;
    const kept = entry === 0 ? HOLE : entry < 0 ? SWAPPED : isDirty ? DIRTY : CLEAN;
    return [kept, ...world.processes.map((_, place) => abstractPte(space, place, page))];
  });
  return orders(pages).flatMap((ordered) => [
    ordered.join(";"),
    ordered.map(([kept, first, second]) => [kept, second, first]).join(";"),
  ]);
}

function abstractPte({ world }: KernelSpace, place: number, page: number): number {
  const process = world.processes[place];
  const i = process === undefined ? -1 : world.pteOffset(process, page);
  if (process === undefined || i < 0) return NONE;
  const chunk = world.chunkOf(process);
  if ((chunk[i] | chunk[i + 1]) === 0) return NONE;
  if ((chunk[i] & 1) === 0) return MARKER;
  return (chunk[i] & 0x40) === 0 ? PRESENT : WRITTEN;
}

function orders<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item, i) => orders(items.filter((_, j) => j !== i)).map((rest) => [item, ...rest]));
}
