/**
 * A virtual machine of QEMU (Debian's package, emulated CPU) whose memory is a shared memfd, as a migration
 * or a vhost-user device wants it. The guest is a program of our own, a Multiboot kernel of a few
 * instructions.
 */
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Confined } from "./confined.ts";

const QEMU = "/usr/bin/qemu-system-x86_64";
/** Where the guest begins to write: above the firmware's memory, and its own code at 1 MiB. */
const FILLED_FROM = 16 << 20;
const KERNEL_AT = 1 << 20;
const GUEST_PAGE_BYTES = 4096;

/**
 * A Multiboot kernel (32-bit protected mode, no paging) that writes to each of `pages` pages its own address,
 * says so on the first serial port, and halts.
 */
function guestKernel(pages: number): Uint8Array {
  const header = [
    0x1bad_b002,
    0x1_0000,
    -(0x1bad_b002 + 0x1_0000),
    KERNEL_AT,
    KERNEL_AT,
    0,
    0,
    KERNEL_AT + 32,
  ];
  const bytes32 = (word: number): number[] => [...new Uint8Array(Int32Array.of(word).buffer)];
  const code = [
    ...[0xbf, ...bytes32(FILLED_FROM)], //       mov  edi, FILLED_FROM
    ...[0xb9, ...bytes32(pages)], //             mov  ecx, pages
    ...[0x89, 0x3f], //                    next: mov  [edi], edi
    ...[0x81, 0xc7, ...bytes32(GUEST_PAGE_BYTES)], // add  edi, 4096
    ...[0x49], //                                dec  ecx
    ...[0x75, 0xf5], //                          jnz  next
    ...[0x66, 0xba, 0xf8, 0x03], //              mov  dx, 0x3f8
    ...[0xb0, "F".charCodeAt(0)], //             mov  al, 'F'
    ...[0xee], //                                out  dx, al
    ...[0xfa], //                                cli
    ...[0xf4], //                          halt: hlt
    ...[0xeb, 0xfd], //                          jmp  halt
  ];
  return Uint8Array.of(...header.flatMap(bytes32), ...code);
}

export class QemuGuest implements Disposable {
  readonly confined: Confined;

  static obstacle(): string | undefined {
    return existsSync(QEMU) ? undefined : "QEMU (Debian: apt-get install qemu-system-x86)";
  }

  private constructor(confined: Confined) {
    this.confined = confined;
  }

  /**
   * Starts a guest of `sizeBytes` and waits until it has written to `filledPages` pages from FILLED_FROM on.
   */
  static async start(options: { sizeBytes: number; filledPages: number }): Promise<QemuGuest> {
    const confined = new Confined({ name: "qemu", endSignal: "TERM" });
    try {
      const kernel = join(confined.folder, "kernel");
      const serial = join(confined.folder, "serial");
      writeFileSync(kernel, guestKernel(options.filledPages));
      confined.start(QEMU, [
        ...["-nodefaults", "-no-user-config", "-display", "none", "-accel", "tcg"],
        ...["-object", `memory-backend-memfd,id=ram,size=${options.sizeBytes},share=on`],
        ...["-machine", "pc,memory-backend=ram", "-m", `size=${options.sizeBytes / (1 << 20)}M`],
        ...["-serial", `file:${serial}`, "-kernel", kernel],
      ]);
      await confined.until(
        "memory is filled",
        () => existsSync(serial) && readFileSync(serial, "latin1").includes("F"),
      );
      return new QemuGuest(confined);
    } catch (error) {
      confined[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Reads pages that the guest has filled, through QEMU's memfd, and counts those that don't hold what it
   * wrote.
   */
  wrongPages(first: number, pages: number): number {
    const folder = `/proc/${this.confined.pid}/fd`;
    const name = readdirSync(folder).find((fd) =>
      readlinkSync(join(folder, fd)).startsWith("/memfd:memory-backend"),
    );
    if (name === undefined) throw new Error("QEMU has no memfd");
    const fd = openSync(join(folder, name), "r");
    const word = Buffer.alloc(4);
    let wrong = 0;
    for (let page = first; page < first + pages; page++) {
      const address = FILLED_FROM + page * GUEST_PAGE_BYTES;
      readSync(fd, word, 0, word.length, address);
      if (word.readUInt32LE() !== address) wrong++;
    }
    closeSync(fd);
    return wrong;
  }

  [Symbol.dispose](): void {
    this.confined[Symbol.dispose]();
  }
}
