/** Interleaved measuring and the statistics on it: medians, spreads, and ratios with a confidence interval. */
import process from "node:process";
import { Random } from "./random.ts";

/** One thing that is measured. Only `run` is timed. */
export interface Contender {
  readonly name: string;
  /** Brings the thing to its start state. */
  prepare?(): void | Promise<void>;
  run(): void;
  /** Throws when the result is wrong; the hash must be the same after every round. */
  check?(): number;
}

/** A contender's measurements, in the order of the rounds, in nanoseconds a unit (a page, an entry, a step). */
export interface Series {
  readonly name: string;
  readonly nsPerUnit: readonly number[];
  /** Of what `check` gave; undefined when it has no check. */
  readonly hash: number | undefined;
}

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly lowerQuartile: number;
  readonly upperQuartile: number;
}

export interface Ratio {
  readonly ratio: number;
  /** The 95 % confidence interval. */
  readonly low: number;
  readonly high: number;
}

const BOOTSTRAP_SAMPLES = 5000;

/** The q-quantile (0..1) by linear interpolation. */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) throw new RangeError("quantile of no values");
  const sorted = [...values].sort((a, b) => a - b);
  const place = (sorted.length - 1) * q;
  const below = Math.floor(place);
  const above = Math.ceil(place);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function mean(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("mean of no values");
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The standard deviation of a sample; 0 of one value. */
export function deviation(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1));
}

export function summarise(values: readonly number[]): Summary {
  return {
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
    lowerQuartile: quantile(values, 0.25),
    upperQuartile: quantile(values, 0.75),
  };
}

/**
 * statistic(over) / statistic(under), of medians unless said otherwise, with a bootstrap interval. Rounds are
 * resampled in pairs: what slowed one round down slowed both contenders down.
 */
export function ratioOf(over: Series, under: Series, seed: number, statistic = median): Ratio {
  const rounds = over.nsPerUnit.length;
  if (under.nsPerUnit.length !== rounds) {
    throw new RangeError(`${over.name} has ${rounds} rounds, ${under.name} has ${under.nsPerUnit.length}`);
  }
  const random = new Random(seed);
  const ratios: number[] = [];
  const pickedOver = new Array<number>(rounds);
  const pickedUnder = new Array<number>(rounds);
  for (let sample = 0; sample < BOOTSTRAP_SAMPLES; sample++) {
    for (let i = 0; i < rounds; i++) {
      const round = Math.floor(random.fraction() * rounds);
      pickedOver[i] = over.nsPerUnit[round];
      pickedUnder[i] = under.nsPerUnit[round];
    }
    ratios.push(statistic(pickedOver) / statistic(pickedUnder));
  }
  return {
    ratio: statistic(over.nsPerUnit) / statistic(under.nsPerUnit),
    low: quantile(ratios, 0.025),
    high: quantile(ratios, 0.975),
  };
}

/** Lets signals in between two timed stretches. */
function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * Measures all contenders in every round, so that the machine's mood falls on all of them alike; every other
 * round goes backwards, so that none is always the one after the same other. Warm-up rounds are checked, not kept.
 */
export async function interleave(
  contenders: readonly Contender[],
  options: { rounds: number; warmUpRounds?: number; unitsPerRun: number; onRound?: (label: string) => void },
): Promise<Series[]> {
  const warmUpRounds = options.warmUpRounds ?? 1;
  const timings = contenders.map((): number[] => []);
  const hashes = contenders.map((): number | undefined => undefined);
  for (let round = -warmUpRounds; round < options.rounds; round++) {
    const order = contenders.map((_, index) => index);
    if (round % 2 !== 0) order.reverse();
    for (const index of order) {
      const contender = contenders[index];
      const roundName = round < 0 ? "warm-up" : `round ${round + 1}/${options.rounds}`;
      options.onRound?.(`${roundName}: ${contender.name}`);
      await contender.prepare?.();
      await breathe();
      const start = process.hrtime.bigint();
      contender.run();
      const elapsedNs = Number(process.hrtime.bigint() - start);
      if (round >= 0) timings[index].push(elapsedNs / options.unitsPerRun);
      const hash = contender.check?.();
      if (hashes[index] !== undefined && hash !== hashes[index]) {
        throw new Error(`${contender.name}: the result differs from round to round`);
      }
      hashes[index] = hash;
      await breathe();
    }
  }
  return contenders.map((contender, index) => ({
    name: contender.name,
    nsPerUnit: timings[index],
    hash: hashes[index],
  }));
}
