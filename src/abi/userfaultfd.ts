/**
 * userfaultfd: features, modes and ioctl arguments. Source: `include/uapi/linux/userfaultfd.h` (6.18),
 * `Documentation/admin-guide/mm/userfaultfd.rst`.
 */

/** The `api` field of `struct uffdio_api`. */
export const UFFD_API = 0xaa;

/** A flag of userfaultfd(2): faults of the kernel itself are not handled, so that no privilege is needed (5.11). */
export const UFFD_USER_MODE_ONLY = 1;

export const UFFD_FEATURE_PAGEFAULT_FLAG_WP = 1 << 0;
export const UFFD_FEATURE_EVENT_FORK = 1 << 1;
export const UFFD_FEATURE_EVENT_REMAP = 1 << 2;
/** Write-protection of shmem and hugetlbfs (5.19). */
export const UFFD_FEATURE_WP_HUGETLBFS_SHMEM = 1 << 12;
/** Write-protection of anonymous pages that were never touched (6.4). */
export const UFFD_FEATURE_WP_UNPOPULATED = 1 << 13;
export const UFFD_FEATURE_POISON = 1 << 14;
/** The kernel un-protects by itself (6.7). */
export const UFFD_FEATURE_WP_ASYNC = 1 << 15;
export const UFFD_FEATURE_MOVE = 1 << 16;

export const UFFDIO_REGISTER_MODE_MISSING = 1 << 0;
export const UFFDIO_REGISTER_MODE_WP = 1 << 1;
export const UFFDIO_REGISTER_MODE_MINOR = 1 << 2;

export const UFFDIO_WRITEPROTECT_MODE_WP = 1 << 0;
export const UFFDIO_WRITEPROTECT_MODE_DONTWAKE = 1 << 1;

/** Request numbers of the ioctls (`_IOWR(0xaa, ...)`, x86-64). */
export const UFFDIO_API = 0xc018_aa3f;
export const UFFDIO_REGISTER = 0xc020_aa00;
export const UFFDIO_UNREGISTER = 0x8010_aa01;
export const UFFDIO_WRITEPROTECT = 0xc018_aa06;
/** Of `/dev/userfaultfd` (6.1): a new userfaultfd; the argument is the flags of userfaultfd(2). */
export const USERFAULTFD_IOC_NEW = 0xaa00;

/** `struct uffdio_api`: api, features, and the ioctls that the kernel fills in; 8 bytes each. */
export function encodeUffdioApi(features: number): BigUint64Array {
  return BigUint64Array.of(BigInt(UFFD_API), BigInt(features), 0n);
}

/** `struct uffdio_writeprotect`: start, length, mode, 8 bytes each. */
export function encodeUffdioWriteprotect(start: bigint, lengthBytes: bigint, mode: number): BigUint64Array {
  return BigUint64Array.of(start, lengthBytes, BigInt(mode));
}

/** `struct uffdio_register`: start, length, mode, and the ioctls that the kernel fills in; 8 bytes each. */
export function encodeUffdioRegister(start: bigint, lengthBytes: bigint, mode: number): BigUint64Array {
  return BigUint64Array.of(start, lengthBytes, BigInt(mode), 0n);
}

/** `struct uffdio_range`: start and length, 8 bytes each. */
export function encodeUffdioRange(start: bigint, lengthBytes: bigint): BigUint64Array {
  return BigUint64Array.of(start, lengthBytes);
}
