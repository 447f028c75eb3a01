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
