// How an ioctl's number is made on x86-64 (include/uapi/asm-generic/ioctl.h): two bits of direction, fourteen of the
// argument's size, eight of the driver's letter, eight of the request's number.

const IOC_WRITE = 1;
const IOC_READ = 2;

function ioc(direction: number, letter: number, number: number, sizeBytes: number): number {
  return direction * 2 ** 30 + sizeBytes * 2 ** 16 + letter * 2 ** 8 + number;
}

/** `_IO`: no argument, or one that is a number. */
export function io(letter: number, number: number): number {
  return ioc(0, letter, number, 0);
}

/** `_IOR`: the kernel's argument is only read. */
export function ior(letter: number, number: number, sizeBytes: number): number {
  return ioc(IOC_READ, letter, number, sizeBytes);
}

/** `_IOWR`. */
export function iowr(letter: number, number: number, sizeBytes: number): number {
  return ioc(IOC_READ | IOC_WRITE, letter, number, sizeBytes);
}
