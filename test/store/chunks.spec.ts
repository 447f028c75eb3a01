import { describe, expect, it } from 'vitest';
import { chunkAt, chunkSize, inChunks } from '../../lib/store/chunks.js';

const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

describe('the size of a chunk', () => {
  it.each([
    [1, 1],
    [19, 1],
    [20, 2],
    [99, 9],
    [500, 50],
    [100_000, 50],
  ])('of %i events that are moved at once: %i, for ten jobs at least', (count, size) => {
    expect(chunkSize({}, count)).toBe(size);
  });

  it.each([
    [1, 500, 1],
    [7, 500, 7],
    [7, 30, 3],
    [1_000, 500, 50],
  ])('of a handler that does %i quickly, of %i: %i', (perJob, count, size) => {
    expect(chunkSize({ perJob }, count)).toBe(size);
  });

  it.each([
    [100, 1, 1],
    [100, 30, 30],
    [100, 300, 100],
    [1, 300, 1],
    [1_000, 500, 500],
  ])(
    'of a batch handler that takes %i, of %i: %i, what waits comes together',
    (size, count, is) => {
      expect(chunkSize({ batchSize: size }, count)).toBe(is);
    },
  );
});

describe('the chunk of a delivery', () => {
  it('is named after the first position that it may hold', () => {
    expect(upTo(7).map((position) => chunkAt(position + 10, 11, 3))).toEqual([
      11, 11, 11, 14, 14, 14, 17,
    ]);
  });

  it('is none where a chunk would hold one', () => {
    expect(chunkAt(11, 11, 1)).toBeNull();
  });
});

describe('deliveries that are put into chunks', () => {
  const refs = (positions: number[]) =>
    positions.map((position) => ({ position, handler: 'mails', epoch: 2 }));
  const chunksOf = (positions: number[], size: number) =>
    inChunks(refs(positions), size).map(({ chunk }) => chunk);

  it('have a name by their first and their number, which no chunk of a relay pass has', () => {
    const [a, b] = [-(3 * 1_024 + 2), -(9 * 1_024 + 2)];
    expect(chunksOf([3, 8, 9, 20], 2)).toEqual([a, a, b, b]);
    expect(inChunks(refs([3, 8]), 2)[1]).toEqual({ ...refs([8])[0], chunk: a });
  });

  it('have another name than those of a former chunk that began with the same', () => {
    expect(new Set([2, 3, 4].map((size) => chunksOf([3, 4, 5, 6], size)[0])).size).toBe(3);
    expect(chunksOf([3, 4, 5], 9)).not.toEqual(chunksOf([3, 4, 5, 6], 9).slice(0, 3));
  });

  it('stay alone where a chunk would hold one', () => {
    expect(chunksOf([3, 8, 9], 2)[2]).toBeNull();
    expect(chunksOf([3, 8], 1)).toEqual([null, null]);
    expect(chunksOf([3], 5)).toEqual([null]);
    expect(chunksOf([], 5)).toEqual([]);
  });
});
