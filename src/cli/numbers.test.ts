import { describe, expect, test } from "vitest";
import { InputError } from "./errors.ts";
import { share, sizePages, wholeNumber } from "./numbers.ts";

describe("a size", () => {
  const parse = sizePages("--size", { min: 1, max: 2 ** 20 });

  test.each([
    ["4096", 1],
    ["64M", 16384],
    ["64MiB", 16384],
    ["1g", 2 ** 18],
    ["8k", 2],
  ])("%s is %i pages", (text, pages) => {
    expect(parse(text)).toBe(pages);
  });

  test.each(["", "4095", "0", "8G", "1T", "-4096", "1.5M", "M"])("%j is refused", (text) => {
    expect(() => parse(text)).toThrow(InputError);
    expect(() => parse(text)).toThrow(/^--size ".*": must be a size in whole pages, from 4K to 4G/);
  });
});

test.each(["", "-1", "11", "1.5", "0x3", "1e1", " 3"])("%j is no whole number from 0 to 10", (text) => {
  const parse = wholeNumber("--n", { min: 0, max: 10 });
  expect(() => parse(text)).toThrow(new InputError(`--n "${text}": must be a whole number from 0 to 10`));
  expect([parse("0"), parse("10")]).toEqual([0, 10]);
});

test.each(["", " ", "-0.1", "1.1", "half"])("%j is no share", (text) => {
  const parse = share("--rate");
  expect(() => parse(text)).toThrow(new InputError(`--rate "${text}": must be a number from 0 to 1`));
  expect([parse("0"), parse("0.25"), parse("1")]).toEqual([0, 0.25, 1]);
});
