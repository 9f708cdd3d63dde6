import { constants } from "node:os";
import process from "node:process";
import { describe, expect, test } from "vitest";
import { lacking } from "../../test/support/requirement.ts";
import { ERRNO, Errno, type ErrnoCode, errnoName, FaultSignal } from "./errno.ts";

const CODES = Object.keys(ERRNO) as ErrnoCode[];

describe("error numbers", () => {
  test("are this system's own, where it is Linux", (context) => {
    if (process.platform !== "linux") lacking(context, `${process.platform} may number errors otherwise`);
    const own: Readonly<Record<string, number>> = constants.errno;
    expect(Object.fromEntries(CODES.map((code) => [code, own[code]]))).toEqual(ERRNO);
  });

  test.each(CODES)("%s is found by its number", (code) => {
    expect(errnoName(ERRNO[code])).toBe(code);
  });

  test("without a name are refused", () => {
    expect(() => errnoName(4095)).toThrow(new RangeError("errno 4095 has no name here"));
  });
});

test("a failed system call names itself, the error and what is wrong", () => {
  const error = new Errno("EINVAL", "mmap", "length 0");
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({ name: "Errno", code: "EINVAL", errno: 22, syscall: "mmap" });
  expect(error.message).toBe("mmap: EINVAL (length 0)");
  expect(new Errno("ENOMEM", "load").message).toBe("load: ENOMEM");
});

test("a fatal fault names the signal and the address", () => {
  const fault = new FaultSignal("SIGBUS", 0x1000_0000_0ff8);
  expect(fault).toMatchObject({ name: "FaultSignal", signal: "SIGBUS", address: 0x1000_0000_0ff8 });
  expect(fault.message).toBe("SIGBUS at 0x100000000ff8");
});
