/** The system calls a process makes, and its loads and stores. Addresses and lengths are bytes. */

import {
  type Advice,
  Errno,
  type ErrnoCode,
  errnoName,
  FaultSignal,
  isPtePresent,
  isSwapPte,
  MADV,
  PAGE_SIZE,
} from "../abi/index.ts";
import { Access } from "./access.ts";
import { isMarker, pteSwapEntry } from "./entries.ts";
import { Fault } from "./fault.ts";
import { copyAddressSpace } from "./fork.ts";
import type { Kernel } from "./kernel.ts";
import { madvise } from "./madvise.ts";
import { type MapsEntry, maps } from "./maps.ts";
import type { Memfd } from "./memfd.ts";
import type { MemoryGroup } from "./memory-group.ts";
import { mincore } from "./mincore.ts";
import { Mm } from "./mm.ts";
import { mmap, munmap, unmapAll } from "./mmap.ts";
import { access, accessError } from "./mmu.ts";
import { mprotect } from "./mprotect.ts";
import { mremap } from "./mremap.ts";
import { BLOCKED, PageLockedError } from "./page-lock.ts";
import { entryOffset } from "./page-table.ts";
import { Pagemap } from "./pagemap.ts";
import { type SmapsEntry, smaps } from "./smaps.ts";
import { clearSoftDirty } from "./soft-dirty.ts";
import { register, Userfaultfd, unregister, writeProtect } from "./userfaultfd.ts";
import {
  VM_EXEC,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
} from "./vma.ts";

/** What a mapping may be used for. */
export interface Protections {
  /** True unless said otherwise. */
  readonly read?: boolean;
  readonly write?: boolean;
  readonly exec?: boolean;
}

export interface MmapOptions extends Protections {
  readonly lengthBytes: number;
  /** A hint, or the address itself with `fixed`. */
  readonly address?: number;
  /** MAP_FIXED: just there, replacing what is mapped. */
  readonly fixed?: boolean;
  /** MAP_SHARED; else MAP_PRIVATE. */
  readonly shared?: boolean;
  /** What to map; anonymous memory if not given. */
  readonly object?: Memfd;
  readonly offsetBytes?: number;
}

export interface MremapOptions {
  readonly address: number;
  readonly oldLengthBytes: number;
  readonly newLengthBytes: number;
  /** MREMAP_MAYMOVE. */
  readonly mayMove?: boolean;
  /** MREMAP_FIXED: move it here. */
  readonly to?: number;
}

function accessFlags(access: Protections): number {
  return (
    (access.read === false ? 0 : VM_READ) |
    (access.write === true ? VM_WRITE : 0) |
    (access.exec === true ? VM_EXEC : 0)
  );
}

/** A length in pages, rounded up. */
function toPages(syscall: string, lengthBytes: number): number {
  if (!(lengthBytes >= 0)) throw new Errno("EINVAL", syscall, `length ${lengthBytes}`);
  return Math.ceil(lengthBytes / PAGE_SIZE);
}

function mustBeAligned(address: number): void {
  if (address % 8 !== 0)
    throw new RangeError(`address 0x${address.toString(16)}: must be a multiple of 8 for a u64`);
}

function check(syscall: string, result: number): number {
  if (result === BLOCKED) throw new PageLockedError(syscall);
  if (result < 0) throw new Errno(errnoName(-result), syscall);
  return result;
}

/** The page number of an address that must be the start of a page. */
function toVpn(syscall: string, address: number): number {
  if (!Number.isSafeInteger(address) || address < 0 || address % PAGE_SIZE !== 0)
    throw new Errno("EINVAL", syscall, `address ${address} is not the start of a page`);
  return address / PAGE_SIZE;
}

/**
 * A process. System calls that fail throw an {@link Errno}; loads and stores that fault fatally throw a
 * {@link FaultSignal}, and an `Errno` ENOMEM when there is no memory (the model kills nobody).
 */
export class Process {
  readonly pid: number;
  readonly mm: Mm;
  /** `/proc/PID/pagemap`. */
  readonly pagemap: Pagemap;
  readonly #kernel: Kernel;
  #hasExited = false;

  constructor(kernel: Kernel, pid: number, group: MemoryGroup) {
    this.#kernel = kernel;
    this.pid = pid;
    this.mm = new Mm(pid, group, kernel.pageTables, kernel.anonVmas);
    this.pagemap = new Pagemap(kernel, this.mm);
  }

  get hasExited(): boolean {
    return this.#hasExited;
  }

  #mustBeAlive(): void {
    if (this.#hasExited) throw new Error(`process ${this.pid} has exited`);
  }

  #fail(syscall: string, code: ErrnoCode, detail: string): never {
    throw new Errno(code, syscall, detail);
  }

  /** Returns the address of the mapping. */
  mmap(options: MmapOptions): number {
    this.#mustBeAlive();
    const { object, offsetBytes = 0, shared = false } = options;
    if (!(options.lengthBytes > 0)) this.#fail("mmap", "EINVAL", `length ${options.lengthBytes}`);
    const sizePages = toPages("mmap", options.lengthBytes);
    const pgoff = toVpn("mmap", offsetBytes);
    const { address, fixed: isFixed = false } = options;
    if (isFixed && address === undefined) this.#fail("mmap", "EINVAL", "fixed, and no address");
    // A hint may be anywhere in its page.
    const start =
      address === undefined ? undefined : toVpn("mmap", isFixed ? address : address - (address % PAGE_SIZE));
    if (object !== undefined && !object.object.isOpen)
      this.#fail("mmap", "EBADF", "the descriptor is closed");
    let target = object?.object ?? null;
    if (target === null && shared) {
      target = this.#kernel.createObject(sizePages * PAGE_SIZE);
      target.isOpen = false;
    }
    const mayFlags = VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | (shared ? VM_SHARED | VM_MAYSHARE : 0);
    const flags = accessFlags(options) | mayFlags;
    const vpn = mmap(this.#kernel, this.mm, { start, isFixed, sizePages, flags, object: target, pgoff });
    if (vpn < 0 && target !== null && target.isUnused) this.#kernel.forgetObject(target);
    return check("mmap", vpn) * PAGE_SIZE;
  }

  munmap(address: number, lengthBytes: number): void {
    const start = toVpn("munmap", address);
    check("munmap", munmap(this.#kernel, this.mm, start, start + toPages("munmap", lengthBytes)));
  }

  mprotect(address: number, lengthBytes: number, access: Protections): void {
    const start = toVpn("mprotect", address);
    check(
      "mprotect",
      mprotect(this.#kernel, this.mm, start, start + toPages("mprotect", lengthBytes), accessFlags(access)),
    );
  }

  /** Returns the address of the mapping now. */
  mremap(options: MremapOptions): number {
    const vpn = mremap(this.#kernel, this.mm, {
      start: toVpn("mremap", options.address),
      oldPages: toPages("mremap", options.oldLengthBytes),
      newPages: toPages("mremap", options.newLengthBytes),
      mayMove: options.mayMove === true || options.to !== undefined,
      to: options.to === undefined ? undefined : toVpn("mremap", options.to),
    });
    return check("mremap", vpn) * PAGE_SIZE;
  }

  /** `advice` by the kernel's name, without its MADV_. */
  madvise(address: number, lengthBytes: number, advice: Advice): void {
    const start = toVpn("madvise", address);
    if (!Object.hasOwn(MADV, advice)) this.#fail("madvise", "EINVAL", `no advice "${advice}"`);
    check("madvise", madvise(this.#kernel, this.mm, start, start + toPages("madvise", lengthBytes), advice));
  }

  /** One byte a page, 1 if it is in memory. */
  mincore(address: number, lengthBytes: number): Uint8Array {
    const start = toVpn("mincore", address);
    const vector = new Uint8Array(toPages("mincore", lengthBytes));
    check("mincore", mincore(this.#kernel, this.mm, start, start + vector.length, vector));
    return vector;
  }

  /** `/proc/PID/maps`. */
  maps(): MapsEntry[] {
    return maps(this.mm);
  }

  /** `/proc/PID/smaps`. */
  smaps(): SmapsEntry[] {
    return smaps(this.#kernel, this.mm);
  }

  /** Writes 4 to `/proc/PID/clear_refs`. */
  clearRefs(): void {
    clearSoftDirty(this.#kernel, this.mm);
  }

  /**
   * A userfaultfd for write-protection: asynchronous where the kernel has that and no `handler` is given. Else
   * `handler` is called with the address of a page that is written, and must un-protect it; by default it just does.
   */
  userfaultfd(handler?: (address: number) => void): ProcessUserfaultfd {
    const onPage = handler === undefined ? undefined : (vpn: number): void => handler(vpn * PAGE_SIZE);
    return new ProcessUserfaultfd(this.#kernel, new Userfaultfd(this.#kernel, this.mm, onPage));
  }

  /** Returns the child. */
  fork(): Process {
    this.#mustBeAlive();
    const child = this.#kernel.addProcess(this.mm.group);
    copyAddressSpace(this.#kernel, child.mm, this.mm);
    return child;
  }

  /** Ends the process; what only it used is freed. */
  exit(): void {
    this.#mustBeAlive();
    unmapAll(this.#kernel, this.mm);
    this.#kernel.removeProcess(this);
    this.#hasExited = true;
  }

  #access(address: number, isWrite: boolean): number {
    const pfn = access(this.#kernel, this.mm, Math.floor(address / PAGE_SIZE), isWrite);
    if (pfn >= 0) return pfn;
    if (accessError === "ENOMEM")
      throw new Errno(
        "ENOMEM",
        isWrite ? "store" : "load",
        `no memory for the page at 0x${address.toString(16)}`,
      );
    throw new FaultSignal(accessError, address);
  }

  /** Loads a u64; `address` must be a multiple of 8. */
  loadU64(address: number): bigint {
    mustBeAligned(address);
    const pfn = this.#access(address, false);
    const { contents } = this.#kernel.frames;
    const offset = address % PAGE_SIZE;
    return (BigInt(contents.loadU32(pfn, offset + 4)) << 32n) | BigInt(contents.loadU32(pfn, offset));
  }

  /** Stores a u64; `address` must be a multiple of 8. */
  storeU64(address: number, value: bigint): void {
    mustBeAligned(address);
    const pfn = this.#access(address, true);
    const { contents } = this.#kernel.frames;
    const offset = address % PAGE_SIZE;
    contents.storeU32(pfn, offset, Number(value & 0xffff_ffffn));
    contents.storeU32(pfn, offset + 4, Number((value >> 32n) & 0xffff_ffffn));
  }

  /** Loads bytes from `address` on into `buffer`, page by page. */
  readBytes(address: number, buffer: Uint8Array): void {
    this.#transfer(address, buffer, false);
  }

  /** Stores `buffer` from `address` on, page by page: what lies before a fault is stored. */
  writeBytes(address: number, buffer: Uint8Array): void {
    this.#transfer(address, buffer, true);
  }

  #transfer(address: number, buffer: Uint8Array, isWrite: boolean): void {
    const { contents } = this.#kernel.frames;
    for (let done = 0; done < buffer.length; ) {
      const offset = (address + done) % PAGE_SIZE;
      const part = Math.min(buffer.length - done, PAGE_SIZE - offset);
      const pfn = this.#access(address + done, isWrite);
      if (contents.hasContents) {
        const page = contents.bytes(pfn);
        if (isWrite) page.set(buffer.subarray(done, done + part), offset);
        else buffer.set(page.subarray(offset, offset + part), done);
      }
      done += part;
    }
  }

  /** One load from each page of a range. */
  touchRead(address: number, lengthBytes: number): void {
    const end = address + lengthBytes;
    for (let at = address; at < end; at += PAGE_SIZE) this.#access(at, false);
  }

  /** One store to each page of a range, of nothing: for simulating writes without contents. */
  touchWrite(address: number, lengthBytes: number): void {
    const end = address + lengthBytes;
    for (let at = address; at < end; at += PAGE_SIZE) this.#access(at, true);
  }

  /** A load or store of a page, not begun: for a scheduler that steps it. */
  startAccess(address: number, how: "load" | "store"): Access {
    return new Access(this.mm, Math.floor(address / PAGE_SIZE), how);
  }

  /** A fault of its own at an address, not begun: for a scheduler that steps it. */
  startFault(address: number, isWrite: boolean): Fault {
    const fault = new Fault();
    fault.begin(this.mm, Math.floor(address / PAGE_SIZE), isWrite);
    return fault;
  }

  /** Where the area that covers the address ends; the address itself if none does. */
  mappedEnd(address: number): number {
    const vma = this.mm.find(Math.floor(address / PAGE_SIZE));
    return vma === undefined ? address : vma.end * PAGE_SIZE;
  }

  /**
   * The frame that the page table has for an address, mapped or through the swap cache; -1 if none. Changes nothing.
   */
  frameAt(address: number): number {
    const k = this.#kernel;
    const vpn = Math.floor(address / PAGE_SIZE);
    const table = this.mm.pageTables.find(vpn);
    if (table === 0) return -1;
    const chunk = k.pageTables.chunkOf(table);
    const i = entryOffset(table, vpn);
    const lo = chunk[i];
    const hi = chunk[i + 1];
    if (isPtePresent(lo)) return (lo >>> 12) | (hi << 20);
    if (!isSwapPte(lo, hi) || isMarker(k, lo, hi)) return -1;
    const cached = k.swap.lookUp(pteSwapEntry(lo, hi));
    return cached > 0 ? cached : -1;
  }
}

/** A process' userfaultfd. Addresses and lengths are bytes; errors are thrown as {@link Errno}. */
export class ProcessUserfaultfd {
  readonly #kernel: Kernel;
  readonly #uffd: Userfaultfd;

  constructor(kernel: Kernel, uffd: Userfaultfd) {
    this.#kernel = kernel;
    this.#uffd = uffd;
  }

  /** UFFDIO_REGISTER, UFFDIO_REGISTER_MODE_WP. */
  register(address: number, lengthBytes: number): void {
    const start = toVpn("UFFDIO_REGISTER", address);
    check(
      "UFFDIO_REGISTER",
      register(this.#kernel, this.#uffd, start, start + toPages("UFFDIO_REGISTER", lengthBytes)),
    );
  }

  /** UFFDIO_UNREGISTER. */
  unregister(address: number, lengthBytes: number): void {
    const start = toVpn("UFFDIO_UNREGISTER", address);
    check(
      "UFFDIO_UNREGISTER",
      unregister(this.#kernel, this.#uffd, start, start + toPages("UFFDIO_UNREGISTER", lengthBytes)),
    );
  }

  /** UFFDIO_WRITEPROTECT with UFFDIO_WRITEPROTECT_MODE_WP. */
  protect(address: number, lengthBytes: number): void {
    this.#writeProtect(address, lengthBytes, "protect");
  }

  /** UFFDIO_WRITEPROTECT without. */
  resolve(address: number, lengthBytes: number): void {
    this.#writeProtect(address, lengthBytes, "resolve");
  }

  #writeProtect(address: number, lengthBytes: number, what: "protect" | "resolve"): void {
    const start = toVpn("UFFDIO_WRITEPROTECT", address);
    check(
      "UFFDIO_WRITEPROTECT",
      writeProtect(
        this.#kernel,
        this.#uffd,
        start,
        start + toPages("UFFDIO_WRITEPROTECT", lengthBytes),
        what,
      ),
    );
  }

  /** Closing the descriptor unregisters everything. */
  close(): void {
    for (const vma of [...this.#uffd.mm.vmas])
      if (vma.userfaultfd === this.#uffd) unregister(this.#kernel, this.#uffd, vma.start, vma.end);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
