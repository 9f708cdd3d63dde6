import { expect, test } from "vitest";
import { checkPages, fillPages, WORDS_PER_PAGE } from "./page-content.ts";

test.each(["incompressible", "compressible"] as const)(
  "%s pages differ, and one wrong bit is found",
  (kind) => {
    const words = new Uint32Array(8 * WORDS_PER_PAGE);
    fillPages(words, { kind, seed: 1, firstPage: 100 });
    const pages = Array.from({ length: 8 }, (_, i) =>
      words.slice(i * WORDS_PER_PAGE, (i + 1) * WORDS_PER_PAGE).join(),
    );
    expect(new Set(pages).size).toBe(8);
    const check = (): number => checkPages(words, { kind, seed: 1, firstPage: 100, what: "these" });
    expect(check()).toBe(check());
    for (const at of [0, 5, 3 * WORDS_PER_PAGE + 700, words.length - 1]) {
      words[at] ^= 4;
      expect(check).toThrow(/these: page 10\d has 1 wrong words/);
      words[at] ^= 4;
    }
  },
);
