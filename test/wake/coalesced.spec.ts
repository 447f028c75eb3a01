import { expect, it } from 'vitest';
import { Coalesced } from '../../lib/wake/coalesced.js';
import { deferred } from '../support/wait.js';

it('answers all calls that come while it runs by one more run', async () => {
  const runs = [deferred(), deferred(), deferred()];
  const started = [deferred(), deferred(), deferred()];
  let count = 0;
  const coalesced = new Coalesced(() => {
    started[count]?.resolve();
    return runs[count++]?.promise ?? Promise.resolve();
  });
  for (let call = 0; call < 5; call++) coalesced.trigger();
  expect(count).toBe(1);
  runs[0]?.resolve();
  await started[1]?.promise;
  for (let call = 0; call < 5; call++) coalesced.trigger();
  // What fails is not repeated, and does not end it.
  runs[1]?.reject(new Error('no connection'));
  await started[2]?.promise;
  runs[2]?.resolve();
  await new Promise(setImmediate);
  expect(count).toBe(3);
  coalesced.trigger();
  expect(count).toBe(4);
});

it('runs at once, and then not before the gap has passed: once for all calls meanwhile', async () => {
  const runs: number[] = [];
  const second = deferred();
  const coalesced = new Coalesced(async () => {
    if (runs.push(performance.now()) === 2) second.resolve();
  }, 30);
  coalesced.trigger();
  expect(runs).toHaveLength(1);
  for (let call = 0; call < 5; call++) {
    coalesced.trigger();
    await new Promise(setImmediate);
  }
  await second.promise;
  // Timers may be a little early.
  expect((runs[1] ?? 0) - (runs[0] ?? 0)).toBeGreaterThan(25);
});
