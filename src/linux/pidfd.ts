/** A descriptor of a process: it never comes to mean another one. Source: pidfd_open(2), pidfd_getfd(2). */

import { closeSync } from "node:fs";
import { SYS, syscall, syscallRaw } from "./libc.ts";

const PIDFD_THREAD = 0o200;

export class Pidfd implements Disposable {
  readonly pid: number;
  readonly fd: number;

  private constructor(pid: number, fd: number) {
    this.pid = pid;
    this.fd = fd;
  }

  /** Throws a LinuxError: ESRCH if there is no such process. Needs Linux 5.3. */
  static open(pid: number): Pidfd {
    const fd = syscall(`pidfd_open of ${pid}`, SYS.pidfd_open, [pid, 0], {
      ESRCH: `there is no process ${pid} (any more)`,
      EINVAL: `${pid} is not the pid of a process (of a thread, perhaps)`,
      ENOSYS: "pidfd_open, which Linux has since 5.3",
    });
    return new Pidfd(pid, fd);
  }

  /**
   * A descriptor of one thread, which may have descriptors of its own (CLONE_FILES). undefined: this kernel
   * has none such (before 6.9).
   */
  static openThread(tid: number): Pidfd | undefined {
    const fd = syscallRaw(SYS.pidfd_open, tid, PIDFD_THREAD);
    return fd < 0 ? undefined : new Pidfd(tid, fd);
  }

  /** Whether the process still lives, or is a zombie: while it does, its pid means no other process. */
  isAlive(): boolean {
    return syscallRaw(SYS.pidfd_send_signal, this.fd, 0, 0, 0) === 0;
  }

  /**
   * A copy, here, of the process's descriptor `targetFd`, close-on-exec; the caller closes it. Needs Linux
   * 5.6.
   */
  getfd(targetFd: number): number {
    const call = `pidfd_getfd of descriptor ${targetFd} of process ${this.pid}`;
    return syscall(call, SYS.pidfd_getfd, [this.fd, targetFd, 0], {
      EPERM: "ptrace attach access: be root, have CAP_SYS_PTRACE, or be the same user where Yama allows it",
      EBADF: "the process has no such descriptor",
      ESRCH: `process ${this.pid} has ended`,
      ENOSYS: "pidfd_getfd, which Linux has since 5.6",
    });
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}
