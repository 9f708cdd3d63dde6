/** `f_type` of statfs(2). Source: `include/uapi/linux/magic.h` (6.18). */
export const TMPFS_MAGIC = 0x0102_1994;
export const HUGETLBFS_MAGIC = 0x9584_58f6;
