/** Errors of the running kernel: by errno's name, with what is missing and what to do about it. */

import { constants } from "node:os";

const NAME_OF = new Map<number, string>();
for (const [name, number] of Object.entries(constants.errno)) {
  if (!NAME_OF.has(number)) NAME_OF.set(number, name); // EAGAIN before EWOULDBLOCK
}

/** The name of an error number, as "EINVAL" for 22. */
export function errnoNameOf(errno: number): string {
  return NAME_OF.get(errno) ?? `errno ${errno}`;
}

export interface LinuxErrorOptions {
  /** Errno's name, or "" where no system call failed (what is missing was known before). */
  readonly code?: string;
  /** The call that failed, with what it was called on: "open /proc/1/pagemap". */
  readonly call: string;
  /** What is missing (a privilege, a kernel version, a condition of the target) and how to get it. */
  readonly needs?: string;
  readonly cause?: unknown;
}

/** A call to the running kernel failed, or would: not permitted, not supported, or gone. */
export class LinuxError extends Error {
  override readonly name = "LinuxError";
  readonly code: string;
  readonly call: string;
  readonly needs: string;

  constructor({ code = "", call, needs = "", cause }: LinuxErrorOptions) {
    const what = code === "" ? call : `${call}: ${code}`;
    super(needs === "" ? what : `${what}: ${needs}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.call = call;
    this.needs = needs;
  }
}

/** An error of node:fs, as a {@link LinuxError}. */
export function fromNodeError(error: unknown, call: string, needs = ""): LinuxError {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  return new LinuxError({ code, call, needs, cause: error });
}
