/**
 * Error numbers and the two fatal signals of a fault. Source: `include/uapi/asm-generic/errno-base.h`, `errno.h`,
 * `signal.h`.
 */

export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EINVAL: 22,
  EFBIG: 27,
  ENOSPC: 28,
} as const;

export type ErrnoCode = keyof typeof ERRNO;

const CODE_OF = new Map<number, ErrnoCode>(
  Object.entries(ERRNO).map(([code, number]) => [number, code as ErrnoCode]),
);

/** The name of an error number, as "EINVAL" for 22. */
export function errnoName(number: number): ErrnoCode {
  const code = CODE_OF.get(number);
  if (code === undefined) throw new RangeError(`errno ${number} has no name here`);
  return code;
}

/** A system call failed: `code` is the kernel's name for why, `errno` its number. */
export class Errno extends Error {
  override readonly name = "Errno";
  readonly code: ErrnoCode;
  readonly errno: number;
  readonly syscall: string;

  constructor(code: ErrnoCode, syscall: string, detail = "") {
    super(`${syscall}: ${code}${detail === "" ? "" : ` (${detail})`}`);
    this.code = code;
    this.errno = ERRNO[code];
    this.syscall = syscall;
  }
}

export type SignalName = "SIGSEGV" | "SIGBUS";

/** A load or store faulted fatally: the process got `signal`. */
export class FaultSignal extends Error {
  override readonly name = "FaultSignal";
  readonly signal: SignalName;
  /** The address that faulted, bytes. */
  readonly address: number;

  constructor(signal: SignalName, address: number) {
    super(`${signal} at 0x${address.toString(16)}`);
    this.signal = signal;
    this.address = address;
  }
}
