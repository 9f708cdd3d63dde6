/**
 * The program that a {@link DrivenProcess} runs, as the bytes of a static ELF file: one page of code at a low
 * address, far from what is mapped for it later. It pauses; its tracer makes it do the rest.
 * Source: `include/uapi/linux/elf.h` (6.18), the x86-64 instruction set.
 */

/** `vm.mmap_min_addr` is at most this. */
const CODE = 0x1_0000;

const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;
const SEGMENTS = 2;

/** Pieces of code, each ended by a trap, by what is in the registers when one is entered. */
const PIECES = {
  /** Waits for ever: where the program starts. */
  pause: [
    ...[0xb8, 34, 0, 0, 0], // mov $34, %eax
    ...[0x0f, 0x05], //        syscall
    ...[0xeb, -9 & 0xff], //   jmp -9
  ],
  /** The system call that the registers say. */
  call: [0x0f, 0x05, 0xcc],
  /** Stores rsi at rdi, and so on at each page up from there, rcx in all. */
  store: [
    ...[0x48, 0x89, 0x37], //                         mov %rsi, (%rdi)
    ...[0x48, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00], // add $4096, %rdi
    ...[0x48, 0xff, 0xc9], //                         dec %rcx
    ...[0x75, -15 & 0xff], //                         jnz -15
    0xcc,
  ],
  /** Loads from rdi, and so on at each page up from there, rcx in all, into the u64s from rsi on. */
  load: [
    ...[0x48, 0x8b, 0x07], //                         mov (%rdi), %rax
    ...[0x48, 0x89, 0x06], //                         mov %rax, (%rsi)
    ...[0x48, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00], // add $4096, %rdi
    ...[0x48, 0x83, 0xc6, 0x08], //                   add $8, %rsi
    ...[0x48, 0xff, 0xc9], //                         dec %rcx
    ...[0x75, -22 & 0xff], //                         jnz -22
    0xcc,
  ],
} as const;

type Piece = keyof typeof PIECES;

/** Where each piece is in the file. */
const OFFSETS = layOut();

function layOut(): Record<Piece, number> {
  let next = HEADER_BYTES + SEGMENTS * SEGMENT_BYTES;
  const offsets: Partial<Record<Piece, number>> = {};
  for (const [piece, code] of Object.entries(PIECES)) {
    offsets[piece as Piece] = next;
    next += code.length;
  }
  return offsets as Record<Piece, number>;
}

/** The address of each piece in the running program. */
export const CODE_AT: Readonly<Record<Piece, number>> = {
  pause: CODE + OFFSETS.pause,
  call: CODE + OFFSETS.call,
  store: CODE + OFFSETS.store,
  load: CODE + OFFSETS.load,
};

const PT_LOAD = 1;
const PT_GNU_STACK = 0x6474_e551;
const PF_X = 1;
const PF_W = 2;
const PF_R = 4;

/** The ELF file: a whole page. */
export function programImage(): Uint8Array {
  const image = new Uint8Array(4096);
  const view = new DataView(image.buffer);
  image.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // 64 bits, little endian, version 1
  view.setUint16(16, 2, true); // e_type: ET_EXEC
  view.setUint16(18, 62, true); // e_machine: EM_X86_64
  view.setUint32(20, 1, true); // e_version
  view.setBigUint64(24, BigInt(CODE_AT.pause), true); // e_entry
  view.setBigUint64(32, BigInt(HEADER_BYTES), true); // e_phoff
  view.setUint16(52, HEADER_BYTES, true); // e_ehsize
  view.setUint16(54, SEGMENT_BYTES, true); // e_phentsize
  view.setUint16(56, SEGMENTS, true); // e_phnum
  putSegment(view, 0, { type: PT_LOAD, flags: PF_R | PF_X, address: CODE, lengthBytes: image.length });
  putSegment(view, 1, { type: PT_GNU_STACK, flags: PF_R | PF_W, address: 0, lengthBytes: 0 });
  for (const [piece, code] of Object.entries(PIECES)) image.set(code, OFFSETS[piece as Piece]);
  return image;
}

interface Segment {
  readonly type: number;
  readonly flags: number;
  readonly address: number;
  readonly lengthBytes: number;
}

/** `Elf64_Phdr`: a segment from the start of the file. */
function putSegment(view: DataView, index: number, { type, flags, address, lengthBytes }: Segment): void {
  const at = HEADER_BYTES + index * SEGMENT_BYTES;
  view.setUint32(at, type, true);
  view.setUint32(at + 4, flags, true);
  view.setBigUint64(at + 16, BigInt(address), true); // p_vaddr
  view.setBigUint64(at + 32, BigInt(lengthBytes), true); // p_filesz
  view.setBigUint64(at + 40, BigInt(lengthBytes), true); // p_memsz
  view.setBigUint64(at + 48, 4096n, true); // p_align
}
