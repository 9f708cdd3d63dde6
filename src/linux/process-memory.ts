/**
 * The memory of another process, read and written as it does itself: what it may not read or write, can't
 * be. Source: process_vm_readv(2).
 */

import { addressOf, SYS, syscall } from "./libc.ts";

const NEEDS: Readonly<Record<string, string>> = {
  EPERM: "ptrace attach access: be root, have CAP_SYS_PTRACE, or be the same user where Yama allows it",
  EFAULT: "memory that is mapped there, and allows it",
  ESRCH: "a process that has not ended",
  ENOSYS: "a kernel with CONFIG_CROSS_MEMORY_ATTACH",
};

/** Reads into `bytes`; returns how many were read: fewer where what can be read ends. */
export function readMemory(pid: number, address: number, bytes: Uint8Array): number {
  const call = `process_vm_readv of process ${pid} at 0x${address.toString(16)}`;
  return transfer(call, SYS.process_vm_readv, pid, address, bytes);
}

/** Writes all of `bytes`, or throws. */
export function writeMemory(pid: number, address: number, bytes: Uint8Array): void {
  const call = `process_vm_writev of process ${pid} at 0x${address.toString(16)}`;
  const written = transfer(call, SYS.process_vm_writev, pid, address, bytes);
  if (written < bytes.length)
    transfer(call, SYS.process_vm_writev, pid, address + written, bytes.subarray(written));
}

function transfer(call: string, number: number, pid: number, address: number, bytes: Uint8Array): number {
  const local = BigUint64Array.of(addressOf(bytes), BigInt(bytes.length)); // struct iovec
  const remote = BigUint64Array.of(BigInt(address), BigInt(bytes.length));
  return syscall(call, number, [pid, addressOf(local), 1, addressOf(remote), 1, 0], NEEDS);
}
