/**
 * Whether this kernel has a fault that attaching must know of: MADV_GUARD_INSTALL over a write-protected page
 * of shared memory never returns, and the process can only be killed (seen on 6.18). It is tried in a process
 * of our own.
 */

import {
  MADV_GUARD_INSTALL,
  MAP_SHARED,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
  UFFD_USER_MODE_ONLY,
} from "../abi/index.ts";
import { DrivenProcess } from "./driven-process.ts";
import { SYS } from "./libc.ts";
import { errnoNameOf, LinuxError } from "./linux-error.ts";
import { Pidfd } from "./pidfd.ts";
import { USERFAULTFD_FLAGS, Userfaultfd } from "./userfaultfd.ts";

/** A call that returns at all is done in microseconds. */
const HANGS_AFTER_MS = 100;

/**
 * What becomes of MADV_GUARD_INSTALL over an armed page: it is done, never returns, or the kernel has no
 * guard regions there and says so. Throws a LinuxError where this can't be tried: without ptrace or
 * userfaultfd.
 */
export function tryGuardOverArmedPage(): "done" | "hangs" | "refused" {
  using driven = DrivenProcess.spawn();
  const call = (name: string, number: number, ...args: number[]) => {
    const result = driven.syscall(number, ...args);
    if (result < 0) throw new LinuxError({ code: errnoNameOf(-result), call: `${name} in a child` });
    return result;
  };
  const memfd = call("memfd_create", SYS.memfd_create, driven.putString("guarded"), 0);
  call("ftruncate", SYS.ftruncate, memfd, PAGE_SIZE);
  const address = call("mmap", SYS.mmap, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
  driven.storeU64(address, 1n);
  using pidfd = Pidfd.open(driven.pid);
  const uffd = call("userfaultfd", SYS.userfaultfd, USERFAULTFD_FLAGS | UFFD_USER_MODE_ONLY);
  using userfaultfd = Userfaultfd.adopt(pidfd.getfd(uffd));
  userfaultfd.handshake({ required: UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_WP_ASYNC });
  userfaultfd.register(address, PAGE_SIZE);
  userfaultfd.writeProtect(address, PAGE_SIZE, "protect");
  const advised = driven.syscallWithin(HANGS_AFTER_MS, SYS.madvise, address, PAGE_SIZE, MADV_GUARD_INSTALL);
  if (advised === undefined) return "hangs";
  return advised === 0 ? "done" : "refused";
}
