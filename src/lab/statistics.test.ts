import { expect, test } from "vitest";
import { Random } from "./random.ts";
import { deviation, interleave, mean, quantile, ratioOf, type Series, summarise } from "./statistics.ts";

function noisy(name: string, centre: number, noise: number, seed: number): Series {
  const random = new Random(seed);
  const nsPerUnit = Array.from({ length: 41 }, () => centre + (random.fraction() - 0.5) * noise);
  return { name, nsPerUnit, hash: undefined };
}

test("quantiles interpolate", () => {
  expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
  expect(quantile([7], 0.25)).toBe(7);
  expect(summarise([5, 1, 3])).toEqual({ median: 3, min: 1, max: 5, lowerQuartile: 2, upperQuartile: 4 });
  expect(() => quantile([], 0.5)).toThrow(RangeError);
});

test("a ratio's interval holds the true ratio, and leaves out one that is far off", () => {
  const { ratio, low, high } = ratioOf(noisy("slow", 200, 40, 1), noisy("fast", 100, 20, 2), 3);
  expect(ratio).toBeCloseTo(2, 0);
  expect(low).toBeLessThan(2.05);
  expect(high).toBeGreaterThan(1.95);
  expect(low).toBeGreaterThan(1.8);
  expect(high).toBeLessThan(2.2);
});

test("means and deviations", () => {
  expect(mean([1, 2, 6])).toBe(3);
  expect(deviation([1, 2, 6])).toBeCloseTo(Math.sqrt(7), 12);
  expect(deviation([5])).toBe(0);
  expect(() => mean([])).toThrow(RangeError);
});

test("a ratio may be one of means", () => {
  const over: Series = { name: "a", nsPerUnit: [1, 1, 10], hash: undefined };
  const under: Series = { name: "b", nsPerUnit: [1, 1, 1], hash: undefined };
  expect(ratioOf(over, under, 1).ratio).toBe(1);
  expect(ratioOf(over, under, 1, mean).ratio).toBe(4);
});

test("a ratio is the same for the same seed", () => {
  const [over, under] = [noisy("a", 10, 5, 4), noisy("b", 10, 5, 5)];
  expect(ratioOf(over, under, 6)).toEqual(ratioOf(over, under, 6));
});

test("rounds are interleaved, every other one backwards, and warm-ups are not kept", async () => {
  const order: string[] = [];
  const contenders = ["a", "b"].map((name) => ({ name, run: () => void order.push(name), check: () => 7 }));
  const series = await interleave(contenders, { rounds: 2, warmUpRounds: 1, unitsPerRun: 1 });
  expect(order.join("")).toBe("baabba");
  expect(series.map(({ nsPerUnit, hash }) => [nsPerUnit.length, hash])).toEqual([
    [2, 7],
    [2, 7],
  ]);
});

test("a result that changes between rounds is an error", async () => {
  let round = 0;
  const contender = { name: "fickle", run: () => {}, check: () => round++ };
  await expect(interleave([contender], { rounds: 2, unitsPerRun: 1 })).rejects.toThrow("fickle");
});
