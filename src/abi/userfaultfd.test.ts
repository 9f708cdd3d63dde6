import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { io, ior, iowr } from "../../test/support/ioctl.ts";
import * as uffd from "./userfaultfd.ts";

const anyU64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

/**
 * Sizes of the arguments: `struct uffdio_api` and `uffdio_writeprotect` three u64, `uffdio_register` four,
 * `uffdio_range` two.
 */
test.each([
  ["UFFDIO_API", uffd.UFFDIO_API, iowr(0xaa, 0x3f, 24)],
  ["UFFDIO_REGISTER", uffd.UFFDIO_REGISTER, iowr(0xaa, 0x00, 32)],
  ["UFFDIO_UNREGISTER", uffd.UFFDIO_UNREGISTER, ior(0xaa, 0x01, 16)],
  ["UFFDIO_WRITEPROTECT", uffd.UFFDIO_WRITEPROTECT, iowr(0xaa, 0x06, 24)],
  ["USERFAULTFD_IOC_NEW", uffd.USERFAULTFD_IOC_NEW, io(0xaa, 0x00)],
])("%s is the number of the header's definition", (_, constant, computed) => {
  expect(constant).toBe(computed);
});

test.each([
  ["UFFD_FEATURE_", 17],
  ["UFFDIO_REGISTER_MODE_", 3],
  ["UFFDIO_WRITEPROTECT_MODE_", 2],
])("%s bits are single, different, and within %i", (prefix, width) => {
  const bits = Object.entries(uffd).flatMap(([name, value]) =>
    name.startsWith(prefix) && typeof value === "number" ? [value] : [],
  );
  expect(bits.length).toBeGreaterThan(1);
  expect(new Set(bits).size).toBe(bits.length);
  for (const bit of bits) {
    expect(bit & (bit - 1)).toBe(0);
    expect(bit).toBeGreaterThan(0);
    expect(bit).toBeLessThan(2 ** width);
  }
});

describe("the structs", () => {
  test("uffdio_api is the version, the features, and room for what the kernel answers", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (features) => {
        const words = uffd.encodeUffdioApi(features);
        expect([...words]).toEqual([0xaan, BigInt(features), 0n]);
        expect(words.byteLength).toBe((uffd.UFFDIO_API >>> 16) & 0x3fff);
      }),
    );
  });

  test("uffdio_range is start, length", () => {
    fc.assert(
      fc.property(anyU64, anyU64, (start, length) => {
        const words = uffd.encodeUffdioRange(start, length);
        expect([...words]).toEqual([start, length]);
        expect(words.byteLength).toBe((uffd.UFFDIO_UNREGISTER >>> 16) & 0x3fff);
      }),
    );
  });

  test("uffdio_writeprotect is start, length, mode", () => {
    fc.assert(
      fc.property(anyU64, anyU64, fc.integer({ min: 0, max: 3 }), (start, length, mode) => {
        const words = uffd.encodeUffdioWriteprotect(start, length, mode);
        expect([...words]).toEqual([start, length, BigInt(mode)]);
        expect(words.byteLength).toBe((uffd.UFFDIO_WRITEPROTECT >>> 16) & 0x3fff);
      }),
    );
  });

  test("uffdio_register is start, length, mode, and room for what the kernel answers", () => {
    fc.assert(
      fc.property(anyU64, anyU64, fc.integer({ min: 1, max: 7 }), (start, length, mode) => {
        const words = uffd.encodeUffdioRegister(start, length, mode);
        expect([...words]).toEqual([start, length, BigInt(mode), 0n]);
        expect(words.byteLength).toBe((uffd.UFFDIO_REGISTER >>> 16) & 0x3fff);
      }),
    );
  });
});
