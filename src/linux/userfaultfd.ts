/**
 * userfaultfd, as far as write-protection goes: of this process, or of another one's address space whose
 * descriptor was fetched. Source: `Documentation/admin-guide/mm/userfaultfd.rst`,
 * `include/uapi/linux/userfaultfd.h` (6.18).
 *
 * A userfaultfd acts on the address space in which it was made, whoever holds the descriptor. When the last
 * copy of it is closed, the kernel ends its registrations and clears their protection.
 */

import { closeSync, constants, openSync } from "node:fs";
import {
  encodeUffdioApi,
  encodeUffdioRange,
  encodeUffdioRegister,
  encodeUffdioWriteprotect,
  UFFD_FEATURE_PAGEFAULT_FLAG_WP,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
  UFFD_FEATURE_WP_UNPOPULATED,
  UFFD_USER_MODE_ONLY,
  UFFDIO_API,
  UFFDIO_REGISTER,
  UFFDIO_REGISTER_MODE_WP,
  UFFDIO_UNREGISTER,
  UFFDIO_WRITEPROTECT,
  UFFDIO_WRITEPROTECT_MODE_WP,
  USERFAULTFD_IOC_NEW,
} from "../abi/index.ts";
import { ioctlRaw, O_CLOEXEC, SYS, syscallRaw } from "./libc.ts";
import { errnoNameOf, LinuxError } from "./linux-error.ts";

/** What a userfaultfd is made with: not inherited, and a read of it (nobody reads it) would not block. */
export const USERFAULTFD_FLAGS = O_CLOEXEC | constants.O_NONBLOCK;

/** What each feature is for, and the release that brought it: for messages, never for decisions. */
const FEATURE_ORIGIN = new Map([
  [UFFD_FEATURE_PAGEFAULT_FLAG_WP, "write-protection (Linux 5.7, CONFIG_HAVE_ARCH_USERFAULTFD_WP)"],
  [UFFD_FEATURE_WP_HUGETLBFS_SHMEM, "write-protection of shmem and hugetlbfs (Linux 5.19)"],
  [UFFD_FEATURE_WP_UNPOPULATED, "write-protection of untouched anonymous pages (Linux 6.4)"],
  [UFFD_FEATURE_WP_ASYNC, "asynchronous write-protection (Linux 6.7)"],
]);

function failure(call: string, errno: number, needs: Readonly<Record<string, string>> = {}): LinuxError {
  const code = errnoNameOf(errno);
  return new LinuxError({ code, call, needs: needs[code] ?? "" });
}

/** What a failing userfaultfd(2) lacks, by errno's name. */
export const USERFAULTFD_NEEDS: Readonly<Record<string, string>> = {
  ENOSYS: "a kernel with CONFIG_USERFAULTFD",
  EPERM: "CAP_SYS_PTRACE, or access to /dev/userfaultfd, or the sysctl vm.unprivileged_userfaultfd = 1",
};

/** Makes a userfaultfd of this process, by the first way that is allowed. Returns it, or minus errno. */
function newDescriptor(): number {
  const plain = syscallRaw(SYS.userfaultfd, USERFAULTFD_FLAGS);
  if (errnoNameOf(-plain) !== "EPERM") return plain;
  try {
    const device = openSync("/dev/userfaultfd", "r+");
    const fd = syscallRaw(SYS.ioctl, device, USERFAULTFD_IOC_NEW, USERFAULTFD_FLAGS);
    closeSync(device);
    if (fd >= 0) return fd;
  } catch {
    // No such device, or not for us: the last way needs none.
  }
  return syscallRaw(SYS.userfaultfd, USERFAULTFD_FLAGS | UFFD_USER_MODE_ONLY);
}

let offered: number | undefined;

/** A userfaultfd; `handshake` comes first. */
export class Userfaultfd implements Disposable {
  /** Ours to close; -1 once disposed. */
  #fd: number;
  #features = 0;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * One of this process. With UFFD_USER_MODE_ONLY where that is all that is allowed, which asynchronous
   * write-protection does not mind: the kernel's own writes un-protect too.
   */
  static create(): Userfaultfd {
    const fd = newDescriptor();
    if (fd < 0) throw failure("userfaultfd", -fd, USERFAULTFD_NEEDS);
    return new Userfaultfd(fd);
  }

  /** Takes over a descriptor, which another process's may be; closes it when disposed. */
  static adopt(fd: number): Userfaultfd {
    return new Userfaultfd(fd);
  }

  /**
   * The features that this kernel offers (`UFFD_FEATURE_...`). Asked once, of a descriptor made for it: a
   * handshake can't be made twice, and one that asks for what is not there fails.
   */
  static offeredFeatures(): number {
    if (offered === undefined) {
      using probe = Userfaultfd.create();
      offered = probe.#api(0);
    }
    return offered;
  }

  get fd(): number {
    return this.#fd;
  }

  /** The features that are on: what the handshake asked for. */
  get features(): number {
    return this.#features;
  }

  /**
   * Switches features on: all the required ones, and of the optional ones those that this kernel offers.
   * Returns them.
   * @throws LinuxError EINVAL: a required one is not there; or the handshake was made before.
   */
  handshake({ required, optional = 0 }: { required: number; optional?: number }): number {
    const missing = required & ~Userfaultfd.offeredFeatures();
    for (const [feature, origin] of FEATURE_ORIGIN) {
      if ((missing & feature) === 0) continue;
      throw new LinuxError({ code: "EINVAL", call: "ioctl UFFDIO_API", needs: `a kernel with ${origin}` });
    }
    const wanted = required | (optional & Userfaultfd.offeredFeatures());
    this.#api(wanted);
    this.#features = wanted;
    return wanted;
  }

  /** Returns what is offered. */
  #api(features: number): number {
    const argument = encodeUffdioApi(features);
    this.#ioctl("UFFDIO_API", UFFDIO_API, argument, {
      EINVAL: "features that this kernel offers, and a descriptor that has not had its handshake",
      EPERM: "CAP_SYS_PTRACE for UFFD_FEATURE_EVENT_FORK",
    });
    return Number(argument[1]);
  }

  /** Registers the mappings in a range (whole pages) for write-protection; nothing is protected yet. */
  register(start: number, lengthBytes: number): void {
    const argument = encodeUffdioRegister(BigInt(start), BigInt(lengthBytes), UFFDIO_REGISTER_MODE_WP);
    this.#ioctl("UFFDIO_REGISTER", UFFDIO_REGISTER, argument, {
      EBUSY: "a range that no other userfaultfd has (a live migration or a snapshot may be on its way)",
      EINVAL: "mapped memory (anonymous, shmem or hugetlbfs), and a handshake that asked for what it needs",
      EPERM: "a mapping that may be made writable",
      ENOMEM: "a process that is not ending, with room for another mapping (vm.max_map_count)",
    });
  }

  /** Ends the registration of a range, and its protection. */
  unregister(start: number, lengthBytes: number): void {
    const argument = encodeUffdioRange(BigInt(start), BigInt(lengthBytes));
    this.#ioctl("UFFDIO_UNREGISTER", UFFDIO_UNREGISTER, argument, {
      EINVAL: "a range where something is mapped, and no other userfaultfd has it",
      ENOMEM: "a process that is not ending",
    });
  }

  /**
   * `protect`: the next write to each page of the range is noticed; a page that is not present is protected
   * too, by a marker, if it is of shmem. `resolve`: takes that back, and drops markers.
   */
  writeProtect(start: number, lengthBytes: number, what: "protect" | "resolve"): void {
    const mode = what === "protect" ? UFFDIO_WRITEPROTECT_MODE_WP : 0;
    const argument = encodeUffdioWriteprotect(BigInt(start), BigInt(lengthBytes), mode);
    this.#ioctl("UFFDIO_WRITEPROTECT", UFFDIO_WRITEPROTECT, argument, {
      ENOENT: "a range that is registered as a whole",
      EAGAIN: "a moment: the process is changing its mappings",
      ESRCH: "a process that has not ended",
    });
  }

  #ioctl(
    name: string,
    request: number,
    argument: BigUint64Array,
    needs: Readonly<Record<string, string>>,
  ): void {
    const result = ioctlRaw(this.#fd, request, argument);
    if (result < 0) throw failure(`ioctl ${name}`, -result, needs);
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }
}
