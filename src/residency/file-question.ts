/**
 * Asks a file that is on a disk: a page that is not in memory is on the disk (or a hole of a sparse file). Source:
 * mincore(2).
 */

import { CACHED, HOLE, ON_DISK, STATE_MASK } from "./page-state.ts";
import { ASK } from "./page-table-look.ts";
import type { ShmemQuestionOptions } from "./shmem-question.ts";
import type { ObjectView } from "./target.ts";

const BLOCK_PAGES = 65_536;

export class FileQuestion {
  #resident = new Uint8Array(0);

  ask(view: ObjectView, { firstPage, states }: ShmemQuestionOptions): void {
    const end = Math.min(states.length, Math.max(0, view.stat().sizePages - firstPage));
    if (this.#resident.length === 0) this.#resident = new Uint8Array(BLOCK_PAGES);
    for (let block = 0; block < end; block += BLOCK_PAGES) {
      const pages = Math.min(BLOCK_PAGES, end - block);
      view.mincore(firstPage + block, pages, this.#resident);
      for (let i = 0; i < pages; i++)
        answer(states, block + i, (this.#resident[i] & 1) !== 0 ? CACHED : ON_DISK);
    }
    for (let i = end; i < states.length; i++) answer(states, i, HOLE); // beyond the file's end
  }
}

function answer(states: Uint8Array, i: number, state: number): void {
  if ((states[i] & ASK) !== 0) states[i] = (states[i] & ~(ASK | STATE_MASK)) | state;
}
