/** What a swap area is on: slots of 4096 bytes, numbered from 0. */

import type { PageStore } from "../page-store.ts";

export interface SwapDevice {
  /** How many pages fit. Slot 0 holds the swap header, as on a real device, and is not used for pages. */
  readonly slots: number;
  /**
   * Whether a write has ended when it returns, so that the page can be freed at once (SWP_SYNCHRONOUS_IO, as on
   * zram). From a device that is not, pages stay in the swap cache after page-out and after swap-in.
   */
  readonly synchronous: boolean;
  /** Reads a slot into a page. */
  read(slot: number, pages: PageStore, page: number): void;
  /** Writes a page to a slot. */
  write(slot: number, pages: PageStore, page: number): void;
  /** Reads a slot that will not be read again: may leave it undefined. `read` is used where a device hasn't this. */
  take?(slot: number, pages: PageStore, page: number): void;
  /** Writes a page that will not be read again: may leave it undefined. `write` is used where a device hasn't this. */
  give?(slot: number, pages: PageStore, page: number): void;
  /** The slot's contents are no longer needed (discard). */
  free(slot: number): void;
  close(): void;
}
