/** @returns NaN of nothing */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The value below which that part of all values is; between two values, what is between them. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * part;
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

/** How far a half of the extremes is from the median, as a part of it: 0.1 is ±10 %. */
export function spread(values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / 2 / median(values);
}

/** The median of the rounds' own ratios: what slows a whole round down doesn't matter to it. */
export function medianRatio(of: readonly number[], to: readonly number[]): number {
  const rounds = Math.min(of.length, to.length);
  return median(Array.from({ length: rounds }, (_, round) => of[round]! / to[round]!));
}
