import { describe, expect, it } from 'vitest';
import { BatchGatherer } from '../../lib/handle/batch-gatherer.js';
import { deferred } from '../support/wait.js';

/** A gatherer that answers each item with itself in capitals, and its batches so far. */
function gatherer(limits: { size: number; waitMs: number }) {
  const batches: (readonly string[])[] = [];
  const gathers = new BatchGatherer<string, string>(limits, async (items) => {
    batches.push(items);
    return items.map((item) => item.toUpperCase());
  });
  return { gathers, batches, add: (item: string) => gathers.add(item) };
}

const HOURS = 3_600_000;

describe('a batch', () => {
  it('holds what came in the same turn of the event loop, and each gets its own result', async () => {
    const { batches, add } = gatherer({ size: 10, waitMs: 0 });
    expect(await Promise.all(['a', 'b', 'c'].map(add))).toEqual(['A', 'B', 'C']);
    expect(await add('d')).toBe('D');
    expect(batches).toEqual([['a', 'b', 'c'], ['d']]);
  });

  it('runs at once when it is full, and what is left over is the next one', async () => {
    const { batches, add } = gatherer({ size: 2, waitMs: 0 });
    const all = ['a', 'b', 'c', 'd', 'e'].map(add);
    expect(batches).toEqual([
      ['a', 'b'],
      ['c', 'd'],
    ]);
    await Promise.all(all);
    expect(batches[2]).toEqual(['e']);
  });

  it('waits for no others where none can come', async () => {
    const { gathers, batches, add } = gatherer({ size: 10, waitMs: HOURS });
    const waiting = add('a');
    expect(await gathers.add('b', true)).toBe('B');
    expect(await waiting).toBe('A');
    const alone = add('c');
    gathers.flushSoon();
    expect(await alone).toBe('C');
    expect(batches).toEqual([['a', 'b'], ['c']]);
  });

  it('waits for others', async () => {
    const { batches, add } = gatherer({ size: 2, waitMs: HOURS });
    const first = add('a');
    await new Promise((resolve) => setImmediate(resolve));
    expect(batches).toEqual([]);
    expect(await Promise.all([first, add('b')])).toEqual(['A', 'B']);
  });

  it('waits as long for others as its own first item says, not one that has gone', async () => {
    const waits = deferred();
    const at = performance.now();
    const { batches, add } = gatherer({ size: 2, waitMs: 50 });
    const gone = [add('a'), add('b')];
    // The timer of `a` ends before that of `c`, and leaves it alone.
    setTimeout(() => {
      void add('c').then(() => waits.resolve());
    }, 40);
    await Promise.all([...gone, waits.promise]);
    expect(performance.now() - at).toBeGreaterThan(85);
    expect(batches).toEqual([['a', 'b'], ['c']]);
  });

  it('waits for nobody in a hurry, neither what is there nor what comes', async () => {
    const batches: (readonly string[])[] = [];
    const gathers = new BatchGatherer<string, string>({ size: 9, waitMs: HOURS }, async (items) => {
      batches.push(items);
      return items;
    });
    const first = gathers.add('a');
    gathers.hurry();
    expect(await first).toBe('a');
    await Promise.all([gathers.add('b'), gathers.add('c')]);
    expect(batches).toEqual([['a'], ['b', 'c']]);
  });

  it('runs beside one that is under way', async () => {
    const [first, second] = [deferred<string[]>(), deferred<string[]>()];
    const runs = [first, second];
    const gathers = new BatchGatherer<string, string>(
      { size: 1, waitMs: 0 },
      () => runs.shift()!.promise,
    );
    const [a, b] = [gathers.add('a'), gathers.add('b')];
    second.resolve(['B']);
    expect(await b).toBe('B');
    first.resolve(['A']);
    expect(await a).toBe('A');
  });

  it('that fails, fails for all that are in it, and for nobody else', async () => {
    const gathers = new BatchGatherer<string, string>({ size: 2, waitMs: 0 }, async (items) => {
      if (items.includes('bad')) throw new Error('no');
      return items;
    });
    const results = await Promise.allSettled(
      ['a', 'bad', 'c', 'd'].map((item) => gathers.add(item)),
    );
    expect(results.map(({ status }) => status)).toEqual([
      'rejected',
      'rejected',
      'fulfilled',
      'fulfilled',
    ]);
  });
});
