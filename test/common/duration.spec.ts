import { describe, expect, it } from 'vitest';
import { parseDuration } from '../../lib/common/duration.js';

describe('parseDuration', () => {
  it.each([
    [0, 0],
    [250, 250],
    [1.6, 2],
    ['250ms', 250],
    ['30s', 30_000],
    ['1.5s', 1_500],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['7d', 604_800_000],
    [' 1s ', 1_000],
  ])('reads %j as %d ms', (value, ms) => {
    expect(parseDuration(value)).toBe(ms);
  });

  it.each([
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    '',
    '30',
    's',
    '-5s',
    '1 s',
    '5 minutes',
    '1e3ms',
    '1s2ms',
    null,
    undefined,
    true,
    {},
    10n,
  ])('refuses %s', (value) => {
    expect(parseDuration(value)).toBeUndefined();
  });
});
