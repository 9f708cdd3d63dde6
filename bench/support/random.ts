/** A small seeded generator: every number a bench draws comes from here, so that a run can be repeated. */
export function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The numbers 0..count-1 in a seeded random order. */
export function seededPermutation(count: number, seed: number): Uint32Array {
  const order = new Uint32Array(count);
  for (let i = 0; i < count; i++) order[i] = i;
  const random = seededRandom(seed);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const kept = order[i];
    order[i] = order[j];
    order[j] = kept;
  }
  return order;
}

/** One step of a 32-bit hash (FNV-1a over words, with a final shift to spread high bits down). */
export function mixHash(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x01000193);
  return (mixed ^ (mixed >>> 15)) | 0;
}

export function hashWords(words: Uint32Array, seed = 0x811c9dc5): number {
  let hash = seed | 0;
  for (let i = 0; i < words.length; i++) hash = mixHash(hash, words[i]);
  return hash;
}

export function hashText(hash: number): string {
  return (hash >>> 0).toString(16).padStart(8, "0");
}
