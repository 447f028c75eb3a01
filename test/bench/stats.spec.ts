import { describe, expect, it } from 'vitest';
import { median, medianRatio, quantile, spread } from '../../bench/parent/stats.js';

describe('statistics of the benchmark', () => {
  it('takes the middle value, or what is between the two in the middle', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(median([])).toBeNaN();
  });

  it('finds quantiles of unsorted values', () => {
    const values = Array.from({ length: 101 }, (_, index) => 100 - index);
    expect(quantile(values, 0.99)).toBe(99);
    expect(quantile(values, 0)).toBe(0);
  });

  it('gives half the range as a part of the median', () => {
    expect(spread([9, 10, 12])).toBeCloseTo(0.15);
  });

  it('compares round by round: a slow round does not matter', () => {
    expect(medianRatio([200, 20, 200], [100, 10, 100])).toBe(2);
    expect(medianRatio([], [1])).toBeNaN();
  });
});
