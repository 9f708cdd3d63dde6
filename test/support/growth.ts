// How work grows with size.

/** Work measured at one size. */
export interface Measurement {
  readonly size: number;
  readonly work: number;
}

/**
 * The exponent e of work = size^e that fits best: the slope of the line through the logarithms. 0 for constant work,
 * 1 for linear, 2 for quadratic; size * log(size) is a little above 1.
 */
export function exponentOf(measurements: readonly Measurement[]): number {
  const points = measurements.map(({ size, work }) => ({
    x: Math.log(size),
    y: Math.log(Math.max(1, work)),
  }));
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(points.map((point) => point.x)), mean(points.map((point) => point.y))];
  const covariance = mean(points.map((point) => (point.x - x) * (point.y - y)));
  return covariance / mean(points.map((point) => (point.x - x) ** 2));
}

/** What is accepted for work that should be near linear. */
export const EXPONENT_MAX = 1.2;

/**
 * Whether work is near linear: over all sizes, and over the larger half, where a small part that grows faster shows.
 */
export function isNearLinear(measurements: readonly Measurement[]): boolean {
  const larger = measurements.slice(Math.floor(measurements.length / 2) - 1);
  return exponentOf(measurements) <= EXPONENT_MAX && exponentOf(larger) <= EXPONENT_MAX;
}
