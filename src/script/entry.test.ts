import { describe, expect, test } from "vitest";
import { describeEntry, entrySymbol, isPresent, isPrivate, isSwap } from "./entry.ts";

const RFC = { type: 30, UFFD_WP: 1, PAGEOUT: 2, POISONED: 0, GUARD: 0 };

describe("an entry", () => {
  test.each([
    ["-", "unmapped", "-", { isPresent: false, isSwap: false, isPrivate: false }],
    ["0", "none", ".", { isPresent: false, isSwap: false, isPrivate: false }],
    ["1", "none|soft-dirty", ".", { isPresent: false, isSwap: false, isPrivate: false }],
    ["143", "present|file|exclusive|soft-dirty", "P", { isPresent: true, isSwap: false, isPrivate: false }],
    ["106", "present|exclusive|uffd-wp", "P", { isPresent: true, isSwap: false, isPrivate: true }],
    ["81", "swap|soft-dirty", "S", { isPresent: false, isSwap: true, isPrivate: true }],
    [
      "81:30.2",
      "swap|soft-dirty (marker PAGEOUT)",
      "M",
      { isPresent: false, isSwap: true, isPrivate: false },
    ],
    ["84:30.1", "swap|uffd-wp (marker UFFD_WP)", "W", { isPresent: false, isSwap: true, isPrivate: false }],
    [
      "84:30.3",
      "swap|uffd-wp (marker UFFD_WP|PAGEOUT)",
      "M",
      { isPresent: false, isSwap: true, isPrivate: false },
    ],
    ["80:30.8", "swap (marker 30.8)", "W", { isPresent: false, isSwap: true, isPrivate: false }],
    ["84:31.1", "swap|uffd-wp (marker 31.1)", "W", { isPresent: false, isSwap: true, isPrivate: false }],
  ])("%s is %s", (entry, words, symbol, is) => {
    expect(describeEntry(entry, RFC)).toBe(words);
    expect(entrySymbol(entry, RFC)).toBe(symbol);
    expect({ isPresent: isPresent(entry), isSwap: isSwap(entry), isPrivate: isPrivate(entry) }).toEqual(is);
  });

  test("names a marker by number where the layout is not known", () => {
    expect(describeEntry("80:30.2")).toBe("swap (marker 30.2)");
  });
});
