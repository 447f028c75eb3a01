import { describe, expect, it } from 'vitest';
import { differences } from '../../lib/testing/expect/match.js';

describe('differences', () => {
  it.each([
    [{}, { a: 1 }],
    [{ a: { b: 1 } }, { a: { b: 1, c: 2 }, d: 3 }],
    [{ a: [{ b: 1 }] }, { a: [{ b: 1, c: 2 }] }],
    [{ a: expect.any(Number) as unknown }, { a: 1 }],
    ['text', 'text'],
    [{ a: undefined }, {}],
  ])('%j is all that %j asks for', (expected, actual) => {
    expect(differences(expected, actual)).toEqual([]);
  });

  it.each([
    [{ a: { b: 1 } }, { a: { b: 2 } }, 'a.b', '1', '2'],
    [{ a: { b: 1 } }, {}, 'a', '{ b: 1 }', 'undefined'],
    [{ a: [1, { b: 2 }] }, { a: [1, { b: 3 }] }, 'a[1].b', '2', '3'],
    [{ a: [1] }, { a: [1, 2] }, 'a.length', '1', '2'],
    [{ 'a-b': 1 }, { 'a-b': 2 }, '["a-b"]', '1', '2'],
    [{ a: [] }, { a: {} }, 'a', '[]', '{}'],
    [{ a: null }, { a: {} }, 'a', 'null', '{}'],
    ['text', 'other', '', "'text'", "'other'"],
    [
      { a: expect.stringContaining('x') as unknown },
      { a: 'b' },
      'a',
      "StringContaining 'x'",
      "'b'",
    ],
    [{ a: { asymmetricMatch: () => false } }, { a: 1 }, 'a', 'a matcher', '1'],
  ])('of %j and %j: %s', (expected, actual, path, printed, was) => {
    expect(differences(expected, actual)).toEqual([{ path, expected: printed, actual: was }]);
  });
});
