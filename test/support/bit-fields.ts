// A drawn bit layout, to compare constants with.
import { expect } from "vitest";

/** A field of a drawn layout: the bits from `high` down to `low`, both included. */
export interface BitField {
  readonly name: string;
  readonly high: number;
  readonly low: number;
  /** The constant that stands for it, as a mask of the whole word; left out where the layout has none. */
  readonly mask?: bigint;
}

/** A mask of the high 32-bit word, as one of the 64-bit word. */
export function highWord(mask: number): bigint {
  return BigInt(mask >>> 0) << 32n;
}

/** A mask of the low 32-bit word. */
export function lowWord(mask: number): bigint {
  return BigInt(mask >>> 0);
}

export function bitsFrom(high: number, low: number): bigint {
  return ((1n << BigInt(high - low + 1)) - 1n) << BigInt(low);
}

/** Every field's constant is just its bits; no two fields overlap; together they fill the word and no more. */
export function expectLayout(widthBits: number, fields: readonly BitField[]): void {
  let taken = 0n;
  for (const { name, high, low, mask } of fields) {
    const bits = bitsFrom(high, low);
    if (mask !== undefined) expect(mask.toString(2), `mask of ${name}`).toBe(bits.toString(2));
    expect(taken & bits, `${name} overlaps`).toBe(0n);
    taken |= bits;
  }
  expect(taken.toString(2), "bits that are in a field").toBe(bitsFrom(widthBits - 1, 0).toString(2));
}
