import { mixHash } from "../../src/lab/hash.ts";
import { Random } from "../../src/lab/random.ts";

/** The numbers 0..count-1 in a seeded random order. */
export function seededPermutation(count: number, seed: number): Uint32Array {
  const order = new Uint32Array(count);
  for (let i = 0; i < count; i++) order[i] = i;
  const random = new Random(seed);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random.fraction() * (i + 1));
    const kept = order[i];
    order[i] = order[j];
    order[j] = kept;
  }
  return order;
}

export function hashWords(words: Uint32Array, seed = 0x811c9dc5): number {
  let hash = seed | 0;
  for (let i = 0; i < words.length; i++) hash = mixHash(hash, words[i]);
  return hash;
}
