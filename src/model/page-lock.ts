/** Waiting for a page that somebody has locked, or that is being written out. */

import { PAGE_SIZE } from "../abi/index.ts";

/**
 * What a function returns, in place of an errno, when it must wait for a page. Nothing has been done then.
 */
export const BLOCKED = -1000;

/**
 * A call needs a page that a half-done fault or page-out has locked. The kernel would sleep; the model has
 * nobody to wait for, as only its caller can step that task. What the call did before it came to the page
 * stays done, as in the kernel; made again later, it goes on.
 */
export class PageLockedError extends Error {
  override readonly name = "PageLockedError";

  constructor(what: string) {
    super(`${what}: a task in flight has a page locked or is writing it out: step it on, then try again`);
  }
}

/** The same for a fault, which is at an address. */
export function lockedAt(vpn: number): PageLockedError {
  return new PageLockedError(`fault at 0x${(vpn * PAGE_SIZE).toString(16)}`);
}
