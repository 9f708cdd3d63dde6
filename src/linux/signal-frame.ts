/**
 * The frame that the kernel lays on a thread's stack for a signal handler, and that rt_sigreturn(2) takes
 * registers from: made here, so that a thread that runs into rt_sigreturn gets the registers it had.
 * Source: `struct rt_sigframe` (`arch/x86/include/asm/sigframe.h`), `struct ucontext`, `struct sigcontext`
 * and `struct _fpx_sw_bytes` (`arch/x86/include/uapi/asm/`), 6.18.
 *
 * | offset | bytes | what |
 * | --- | --- | --- |
 * | 0 | 8 | where a handler returns to: the restorer, which makes the call |
 * | 8 | 40 | ucontext: uc_flags, uc_link, uc_stack (ss_sp, ss_flags, ss_size) |
 * | 48 | 144 | sigcontext: r8..r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags |
 * | 192 | 8 | cs, gs, fs, ss, 16 bits each |
 * | 200 | 104 | err, trapno, oldmask, cr2; where the FPU's state is; 8 unused words |
 * | 304 | 8 | the blocked signals |
 *
 * What follows in the kernel's own (siginfo) rt_sigreturn does not look at.
 */

import { REG, type Registers } from "./ptrace.ts";

const UC_FLAGS_AT = 8;
const UC_LINK_AT = 16;
const STACK_AT = 24;
const SIGCONTEXT_AT = 48;
const SIGMASK_AT = 304;
const FRAME_BYTES = 312;

/** UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS. */
const UC_FLAGS = 7;
/** No alternate stack has such flags, so that the kernel keeps the one that is set. */
const SS_FLAGS_KEEP = 0x7fff_ffff;

/** The code segment of 64-bit programs. */
export const USER_CS = 0x33n;

/** The order of sigcontext. */
const SIGCONTEXT_REGISTERS = [
  ...[REG.r8, REG.r9, REG.r10, REG.r11, REG.r12, REG.r13, REG.r14, REG.r15],
  ...[REG.rdi, REG.rsi, REG.rbp, REG.rbx, REG.rdx, REG.rax, REG.rcx, REG.rsp, REG.rip, REG.eflags],
];
const CS_AT = SIGCONTEXT_AT + 144;
const SS_AT = SIGCONTEXT_AT + 150;
const FPSTATE_AT = SIGCONTEXT_AT + 184;

// The XSAVE area: 512 bytes of x87 and SSE with room for software in it, a header of 64 bytes, then AVX,
// then the rest.
const SOFTWARE_AT = 464;
const HEADER_AT = 512;
const SSE_BYTES = 576;
const AVX_BYTES = 832;
const SSE = 0b011;
const AVX = 0b111;
const MAGIC1 = 0x4650_5853;
const MAGIC2 = 0x4650_5845;
const MAGIC2_BYTES = 4;
const XSAVE_ALIGNMENT = 64;

/** What lies below a stack pointer and belongs to the function that runs. */
export const RED_ZONE_BYTES = 128;

/** What a thread is to have again. */
export interface ThreadState {
  readonly registers: Registers;
  readonly signalMask: bigint;
  /** The FPU and vector registers in XSAVE's standard form, as PTRACE_GETREGSET gives them. */
  readonly xstate: Uint8Array;
}

export interface SignalFrame {
  /** Where the bytes go, and the stack pointer with which a `ret` leads into the restorer. */
  readonly address: number;
  readonly bytes: Uint8Array;
}

export interface SignalFrameOptions extends ThreadState {
  /** Code of the thread that does `mov $15, %rax; syscall`. */
  readonly restorer: number;
  /** The frame ends there or below: under the red zone. */
  readonly below: number;
}

/**
 * How much of the XSAVE area holds anything, and which of its parts: vector registers at rest need not be
 * copied.
 */
function xsavePart(xstate: Uint8Array, view: DataView): { lengthBytes: number; features: bigint } {
  const inUse = view.getBigUint64(HEADER_AT, true);
  if ((inUse & ~BigInt(SSE)) === 0n) return { lengthBytes: SSE_BYTES, features: BigInt(SSE) };
  if ((inUse & ~BigInt(AVX)) === 0n) return { lengthBytes: AVX_BYTES, features: BigInt(AVX) };
  // In PTRACE_GETREGSET's form the first software word is the mask of the parts that this CPU has switched
  // on.
  return { lengthBytes: xstate.length, features: view.getBigUint64(SOFTWARE_AT, true) };
}

export function signalFrame({
  registers,
  signalMask,
  xstate,
  restorer,
  below,
}: SignalFrameOptions): SignalFrame {
  const state = new DataView(xstate.buffer, xstate.byteOffset, xstate.byteLength);
  const { lengthBytes, features } = xsavePart(xstate, state);
  const fpstate = alignDown(below - lengthBytes - MAGIC2_BYTES, XSAVE_ALIGNMENT);
  const address = alignDown(fpstate - FRAME_BYTES, 16) - 8; // as after a call: 8 above a multiple of 16
  const bytes = new Uint8Array(fpstate + lengthBytes + MAGIC2_BYTES - address);
  const view = new DataView(bytes.buffer);

  view.setBigUint64(0, BigInt(restorer), true);
  view.setBigUint64(UC_FLAGS_AT, BigInt(UC_FLAGS), true);
  view.setUint32(STACK_AT + 8, SS_FLAGS_KEEP, true);
  for (let i = 0; i < SIGCONTEXT_REGISTERS.length; i++)
    view.setBigUint64(SIGCONTEXT_AT + 8 * i, registers[SIGCONTEXT_REGISTERS[i]], true);
  view.setUint16(CS_AT, Number(registers[REG.cs]), true);
  view.setUint16(SS_AT, Number(registers[REG.ss]), true);
  view.setBigUint64(FPSTATE_AT, BigInt(fpstate), true);
  view.setBigUint64(SIGMASK_AT, signalMask, true);

  const area = fpstate - address;
  bytes.set(xstate.subarray(0, lengthBytes), area);
  bytes.fill(0, area + SOFTWARE_AT, area + HEADER_AT);
  view.setUint32(area + SOFTWARE_AT, MAGIC1, true);
  view.setUint32(area + SOFTWARE_AT + 4, lengthBytes + MAGIC2_BYTES, true);
  view.setBigUint64(area + SOFTWARE_AT + 8, features, true);
  view.setUint32(area + SOFTWARE_AT + 16, lengthBytes, true);
  view.setUint32(area + lengthBytes, MAGIC2, true);
  return { address, bytes };
}

function alignDown(address: number, alignment: number): number {
  return address - (address % alignment);
}

/**
 * Whether a thread runs a signal handler on an alternate stack, by the frames that lie above its stack
 * pointer: each tells which alternate stack was set. `above` are the bytes from the stack pointer up.
 */
export function runsOnAlternateStack(above: Uint8Array, stackPointer: number, restorer: number): boolean {
  const needle = new Uint8Array(8);
  new DataView(needle.buffer).setBigUint64(0, BigInt(restorer), true);
  const bytes = Buffer.from(above.buffer, above.byteOffset, above.byteLength);
  for (let at = bytes.indexOf(needle); at >= 0; at = bytes.indexOf(needle, at + 8)) {
    if (at + FRAME_BYTES > bytes.length) return false;
    if (!looksLikeFrame(bytes, at)) continue;
    const start = Number(bytes.readBigUInt64LE(at + STACK_AT));
    const end = start + Number(bytes.readBigUInt64LE(at + STACK_AT + 16));
    if (stackPointer >= start && stackPointer + at < end) return true;
  }
  return false;
}

/** The restorer's address alone is no frame: sigaction(2) leaves it on the stack, too. */
function looksLikeFrame(bytes: Buffer, at: number): boolean {
  return (
    bytes.readBigUInt64LE(at + UC_FLAGS_AT) <= UC_FLAGS &&
    bytes.readBigUInt64LE(at + UC_LINK_AT) === 0n &&
    BigInt(bytes.readUInt16LE(at + CS_AT)) === USER_CS
  );
}
