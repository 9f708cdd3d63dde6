/** A hash of what was computed: equal results give equal hashes, and a result that depends on time gives none. */

/** One step of a 32-bit hash (FNV-1a over words, with a final shift to spread high bits down). */
export function mixHash(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x01000193);
  return (mixed ^ (mixed >>> 15)) | 0;
}

export function hashText(hash: number): string {
  return (hash >>> 0).toString(16).padStart(8, "0");
}
