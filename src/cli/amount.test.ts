import { expect, test } from "vitest";
import { formatPages, formatSeconds, formatShort } from "./amount.ts";

test("pages as bytes, in three digits", () => {
  const pages = [0, 1, 16, 255, 256, 2559, 2560, 70_000, 2 ** 28, 2 ** 50];
  expect(pages.map(formatPages)).toEqual([
    "0 B",
    "4.00 KiB",
    "64.0 KiB",
    "1.00 MiB", // 1020 KiB would have four digits
    "1.00 MiB",
    "10.0 MiB",
    "10.0 MiB",
    "273 MiB",
    "1.00 TiB",
    "4096 PiB",
  ]);
  expect(pages.map(formatShort).every((text) => text.length <= 6)).toBe(true);
  expect(formatPages(0.1)).toBe("410 B"); // a rate
});

test("seconds", () => {
  expect([0.5, 2, 99, 100, 5999, 7200].map(formatSeconds)).toEqual([
    "0.5 s",
    "2 s",
    "99 s",
    "2 min",
    "100 min",
    "2 h",
  ]);
});
