/** Putting things in an order that does not depend on the one they are in. */

/** Spreads the bits of a number over all 32. */
export function mix(value: number): number {
  let h = Math.imul(value ^ (value >>> 16), 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2_ae35);
  return h ^ (h >>> 16);
}

/** Orders of 0, 1 or 2 things, which are most of what is asked for. */
const ALONE: readonly (readonly number[])[] = [[0]];
const FORTH: readonly (readonly number[])[] = [[0, 1]];
const BACK: readonly (readonly number[])[] = [[1, 0]];
const BOTH: readonly (readonly number[])[] = [
  [0, 1],
  [1, 0],
];

/** All orders of `count` things in which only those with equal keys change places. */
export function ordersWithin(keys: Int32Array, count: number): readonly (readonly number[])[] {
  if (count === 1) return ALONE;
  if (count === 2) return keys[0] < keys[1] ? FORTH : keys[0] > keys[1] ? BACK : BOTH;
  const sorted = Array.from({ length: count }, (_, i) => i).sort((a, b) => keys[a] - keys[b] || a - b);
  let orders: number[][] = [[]];
  for (let first = 0; first < count; ) {
    let end = first + 1;
    while (end < count && keys[sorted[end]] === keys[sorted[first]]) end++;
    const tied = permutations(sorted.slice(first, end));
    orders = orders.flatMap((order) => tied.map((part) => [...order, ...part]));
    first = end;
  }
  return orders;
}

function permutations(items: readonly number[]): number[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item, i) =>
    permutations(items.filter((_, j) => j !== i)).map((rest) => [item, ...rest]),
  );
}

/** Whether bytes come before those at an offset. */
export function isLess(bytes: Uint8Array, than: Uint8Array, offset: number): boolean {
  for (let i = 0; i < bytes.length; i++)
    if (bytes[i] !== than[offset + i]) return bytes[i] < than[offset + i];
  return false;
}

export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return 0;
}
