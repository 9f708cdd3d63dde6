import { expect, test } from "vitest";
import { change, changeWithInterval, number, percent, size, times, whole } from "./format.ts";

test("whole numbers have their thousands apart", () => {
  expect([0, 999, 1000, 16384, 519652, 1234567.4].map(whole)).toEqual([
    "0",
    "999",
    "1,000",
    "16,384",
    "519,652",
    "1,234,567",
  ]);
});

test("numbers have about four digits, and no zeros that say nothing", () => {
  expect([0, 3, 0.5, 0.015625, 88.66, 432.73, 3920.59, 16.3, -2.5].map(number)).toEqual([
    "0",
    "3",
    "0.5",
    "0.016",
    "88.66",
    "432.7",
    "3,921",
    "16.3",
    "-2.5",
  ]);
});

test("shares, changes and times", () => {
  expect(percent(0.5)).toBe("50.00 %");
  expect(percent(0.99999, 3)).toBe("99.999 %");
  expect([1.008, 1, 0.9996, 0.99999].map(change)).toEqual(["+0.80 %", "+0.00 %", "-0.04 %", "0.00 %"]);
  expect(changeWithInterval({ ratio: 1.02, low: 1, high: 1.5 })).toBe("+2.00 % [+0.00 %, +50.00 %]");
  expect(times(2.536)).toBe("2.54");
});

test("sizes are in the largest unit that divides them", () => {
  expect([2 ** 30, 3 * 2 ** 20, 4096, 1.5 * 2 ** 30].map(size)).toEqual([
    "1 GiB",
    "3 MiB",
    "4 KiB",
    "1,536 MiB",
  ]);
});
