import { describe, expect, it } from 'vitest';
import { Batcher } from '../../lib/common/batcher.js';
import { deferred, type Deferred } from '../support/wait.js';

/** A flush whose calls are settled by the test. */
function manualFlush() {
  const calls: { items: readonly string[]; done: Deferred<readonly string[]> }[] = [];
  let called = deferred();
  return {
    calls,
    flush: (items: readonly string[]) => {
      const done = deferred<readonly string[]>();
      calls.push({ items, done });
      called.resolve();
      called = deferred();
      return done.promise;
    },
    /** Resolves once `count` flushes were started. */
    started: async (count: number) => {
      while (calls.length < count) await called.promise;
    },
    finish: (index: number) => {
      const call = calls[index]!;
      call.done.resolve(call.items.map((item) => item.toUpperCase()));
    },
  };
}

describe('Batcher', () => {
  it('flushes what one turn of the event loop brought at once, and gives each its own result', async () => {
    const { calls, flush, started, finish } = manualFlush();
    const batcher = new Batcher(flush, { maxItems: 10, concurrency: 1 });
    const results = Promise.all([batcher.add('a'), batcher.add('b'), batcher.add('c')]);
    await started(1);
    finish(0);
    expect(await results).toEqual(['A', 'B', 'C']);
    expect(calls.map(({ items }) => items)).toEqual([['a', 'b', 'c']]);
  });

  it('gathers what comes during a flush for the next one', async () => {
    const { calls, flush, started, finish } = manualFlush();
    const batcher = new Batcher(flush, { maxItems: 10, concurrency: 1 });
    const first = batcher.add('a');
    await started(1);
    const rest = Promise.all([batcher.add('b'), batcher.add('c')]);
    finish(0);
    expect(await first).toBe('A');
    await started(2);
    finish(1);
    expect(await rest).toEqual(['B', 'C']);
    expect(calls.map(({ items }) => items)).toEqual([['a'], ['b', 'c']]);
  });

  it('splits at maxItems and runs no more flushes at once than allowed', async () => {
    const { calls, flush, started, finish } = manualFlush();
    const batcher = new Batcher(flush, { maxItems: 2, concurrency: 2 });
    const results = Promise.all(['a', 'b', 'c', 'd', 'e'].map((item) => batcher.add(item)));
    await started(2);
    // Two turns later a third flush would have started, were it not for the limit.
    for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(calls.map(({ items }) => items)).toEqual([
      ['a', 'b'],
      ['c', 'd'],
    ]);
    finish(1);
    await started(3);
    finish(0);
    finish(2);
    expect(await results).toEqual(['A', 'B', 'C', 'D', 'E']);
  });

  it('rejects all items of a flush that fails, and goes on with the next', async () => {
    const { calls, flush, started, finish } = manualFlush();
    const batcher = new Batcher(flush, { maxItems: 2, concurrency: 1 });
    const failing = [batcher.add('a'), batcher.add('b')].map((each) => each.catch(String));
    const later = batcher.add('c');
    await started(1);
    calls[0]!.done.reject(new Error('the database is gone'));
    expect(await Promise.all(failing)).toEqual([
      'Error: the database is gone',
      'Error: the database is gone',
    ]);
    await started(2);
    finish(1);
    expect(await later).toBe('C');
  });
});
