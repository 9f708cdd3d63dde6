/** process_madvise(2): advice about another process's memory. Source: its man page, `mm/madvise.c` (6.18). */

import { MADV } from "../abi/index.ts";
import { addressOf, SYS, syscall } from "./libc.ts";
import type { Pidfd } from "./pidfd.ts";

/** Advice that may be given about another process. */
export type RemoteAdvice = "COLD" | "PAGEOUT" | "WILLNEED";

/** A range of another process's addresses, bytes, whole pages. */
export interface AddressRange {
  readonly start: number;
  readonly end: number;
}

/** Ranges of one call (UIO_MAXIOV). */
const RANGES_MAX = 1024;

/**
 * Returns how many bytes the kernel has taken the advice for, up to the first range that is not mapped. That
 * says nothing of what became of them: PAGEOUT leaves pages that another process maps too, pages in the cache
 * that this one does not map, and files that the caller may not write, and counts them all the same. Ask
 * afterwards.
 *
 * Throws a LinuxError: EPERM without CAP_SYS_NICE and ptrace read access, ESRCH when the process has ended.
 */
export function processMadvise(pidfd: Pidfd, ranges: readonly AddressRange[], advice: RemoteAdvice): number {
  let advisedBytes = 0;
  for (let first = 0; first < ranges.length; first += RANGES_MAX) {
    const batch = ranges.slice(first, first + RANGES_MAX);
    const advised = madviseBatch(pidfd, batch, advice);
    advisedBytes += advised;
    if (advised < lengthOf(batch)) break;
  }
  return advisedBytes;
}

function madviseBatch(pidfd: Pidfd, ranges: readonly AddressRange[], advice: RemoteAdvice): number {
  const iovecs = BigUint64Array.from(
    ranges.flatMap(({ start, end }) => [BigInt(start), BigInt(end - start)]),
  );
  const call = `process_madvise ${advice} of process ${pidfd.pid}`;
  return syscall(call, SYS.process_madvise, [pidfd.fd, addressOf(iovecs), ranges.length, MADV[advice], 0], {
    EPERM: "CAP_SYS_NICE, and ptrace read access to the process",
    ESRCH: `process ${pidfd.pid} has ended`,
    ENOMEM: "the range to be mapped",
    EINVAL: "whole pages, and memory that is not locked, not hugetlbfs and not a device's",
    ENOSYS: "process_madvise, which Linux has since 5.10",
  });
}

function lengthOf(ranges: readonly AddressRange[]): number {
  return ranges.reduce((sum, { start, end }) => sum + end - start, 0);
}
