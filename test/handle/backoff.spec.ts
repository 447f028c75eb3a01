import { describe, expect, it } from 'vitest';
import { resolveBackoff } from '../../lib/handle/backoff.js';
import type { Backoff } from '../../lib/handle/handler.options.js';
import { upTo } from '../support/deliveries.js';

function delays(backoff: Backoff, attempts: number): number[] {
  const delayAfter = resolveBackoff(backoff);
  return upTo(attempts).map((attempt) => delayAfter!(attempt, new Error('why')));
}

describe('backoff', () => {
  it.each<[Backoff, number[]]>([
    ['2s', [2_000, 2_000, 2_000]],
    [250, [250, 250, 250]],
    [0, [0, 0, 0]],
    [{ type: 'fixed', delay: '1.5s' }, [1_500, 1_500, 1_500]],
    [{ type: 'exponential', delay: '1s' }, [1_000, 2_000, 4_000]],
    [{ type: 'exponential', delay: 100, max: '250ms' }, [100, 200, 250]],
  ])('%j waits %j', (backoff, expected) => {
    expect(delays(backoff, 3)).toEqual(expected);
  });

  it('ends at an hour where no maximum is given, however many attempts there were', () => {
    expect(delays({ type: 'exponential', delay: '1s' }, 2_000).at(-1)).toBe(3_600_000);
  });

  it('stays nothing where the first wait is nothing', () => {
    expect(delays({ type: 'exponential', delay: 0 }, 2_000).at(-1)).toBe(0);
  });

  it('leaves the share of the jitter to chance', () => {
    const seen = delays({ type: 'fixed', delay: 1_000, jitter: 0.5 }, 500);
    expect(Math.min(...seen)).toBeGreaterThanOrEqual(500);
    expect(Math.max(...seen)).toBeLessThanOrEqual(1_000);
    expect(new Set(seen).size).toBeGreaterThan(50);
    const all = delays({ type: 'fixed', delay: 1_000, jitter: 1 }, 500);
    expect(Math.min(...all)).toBeLessThan(200);
  });

  it('asks a function with the attempt and the error', () => {
    const delayAfter = resolveBackoff((attempt, error) =>
      (error as Error).message === 'busy' ? '1m' : attempt * 10,
    );
    expect(delayAfter!(3, new Error('other'))).toBe(30);
    expect(delayAfter!(3, new Error('busy'))).toBe(60_000);
  });

  it.each([undefined, null, Number.NaN, -1, Infinity, 1e20, 'soon', '10y', {}])(
    'refuses what a function returns that is no usable duration: %s',
    (returned) => {
      const delayAfter = resolveBackoff(() => returned as number);
      expect(() => delayAfter!(1, undefined)).toThrow(/returned no duration/);
    },
  );

  it.each([
    null,
    'soon',
    -1,
    Number.NaN,
    {},
    { type: 'linear', delay: 1 },
    { type: 'fixed' },
    { type: 'fixed', delay: '1x' },
    { type: 'fixed', delay: 1, jitter: 2 },
    { type: 'fixed', delay: 1, jitter: -1 },
    { type: 'fixed', delay: 1, jitter: Number.NaN },
    { type: 'fixed', delay: 1, max: 'never' },
    { type: 'fixed', delay: 1e20, max: 1e20 },
  ])('%j is no backoff', (backoff) => {
    expect(resolveBackoff(backoff as Backoff)).toBeUndefined();
  });
});
