import { mixHash } from "./hash.ts";

export const PAGE_BYTES = 4096;
export const WORDS_PER_PAGE = PAGE_BYTES / 4;

/**
 * What a page holds. Every page differs from every other, and every byte of it can be made again from
 * (kind, seed, page number), so a check needs no second copy.
 * - `incompressible`: all words random. zram stores such a page raw.
 * - `compressible`: a quarter random, the rest small numbers, as heap pages with pointers and counters are.
 */
export type ContentKind = "incompressible" | "compressible";

function pageSeed(seed: number, page: number): number {
  let word = Math.imul(page + 1, 0x9e3779b1) ^ Math.imul(seed + 1, 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 16), 0x21f0aaad);
  word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
  return word ^ (word >>> 15) || 1;
}

/** Writes page number `page` into `words` starting at word `at`. */
export function fillPage(
  words: Uint32Array,
  at: number,
  kind: ContentKind,
  seed: number,
  page: number,
): void {
  let state = pageSeed(seed, page);
  const randomWords = kind === "incompressible" ? WORDS_PER_PAGE : WORDS_PER_PAGE / 4;
  words[at] = page + 1;
  for (let i = 1; i < randomWords; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at + i] = state;
  }
  for (let i = randomWords; i < WORDS_PER_PAGE; i++) words[at + i] = (page + (i >> 5)) & 0xff;
}

/** The number of words of `words` (from `at`) that differ from what `fillPage` wrote for this page. */
export function countWrongWords(
  words: Uint32Array,
  at: number,
  kind: ContentKind,
  seed: number,
  page: number,
): number {
  let state = pageSeed(seed, page);
  let wrong = words[at] === page + 1 ? 0 : 1;
  const randomWords = kind === "incompressible" ? WORDS_PER_PAGE : WORDS_PER_PAGE / 4;
  for (let i = 1; i < randomWords; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    if (words[at + i] !== state >>> 0) wrong++;
  }
  for (let i = randomWords; i < WORDS_PER_PAGE; i++)
    if (words[at + i] !== ((page + (i >> 5)) & 0xff)) wrong++;
  return wrong;
}

/** Fills `pages` pages of `words`, the first being page number `firstPage`. */
export function fillPages(
  words: Uint32Array,
  options: { kind: ContentKind; seed: number; firstPage?: number },
): void {
  const firstPage = options.firstPage ?? 0;
  const pages = words.length / WORDS_PER_PAGE;
  for (let i = 0; i < pages; i++)
    fillPage(words, i * WORDS_PER_PAGE, options.kind, options.seed, firstPage + i);
}

/**
 * Throws unless every byte of every page is what `fillPages` wrote; gives back a hash over one word a page
 * (which, the check having passed, depends on nothing but kind, seed and size).
 */
export function checkPages(
  words: Uint32Array,
  options: { kind: ContentKind; seed: number; firstPage?: number; what: string; hash?: number },
): number {
  const firstPage = options.firstPage ?? 0;
  const pages = words.length / WORDS_PER_PAGE;
  let hash = options.hash ?? 0;
  for (let i = 0; i < pages; i++) {
    const at = i * WORDS_PER_PAGE;
    const wrong = countWrongWords(words, at, options.kind, options.seed, firstPage + i);
    if (wrong > 0) {
      throw new Error(`${options.what}: page ${firstPage + i} has ${wrong} wrong words of ${WORDS_PER_PAGE}`);
    }
    hash = mixHash(hash, words[at + WORDS_PER_PAGE / 8]);
  }
  return hash;
}
