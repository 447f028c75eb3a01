import { getEventListeners } from 'node:events';
import { HandlerTimeoutError, UnrecoverableEventError } from 'nestjs-durable-events';
import { describe, expect, it } from 'vitest';
import { afterFailure, runAttempt } from '../../lib/handle/attempt.js';
import { deferred } from '../support/wait.js';

const handler = { id: 'h', timeoutMs: 0 };
const never = new AbortController().signal;

describe('after a failed attempt', () => {
  it.each([
    [1, 3],
    [2, 3],
    [4, 5],
  ])('%i of %i there is another one', (attempt, maxAttempts) => {
    expect(afterFailure(attempt, maxAttempts, new Error('x'))).toEqual({ dead: false });
  });

  it.each([
    [1, 1],
    [3, 3],
    [4, 3],
  ])('%i of %i the delivery is dead', (attempt, maxAttempts) => {
    expect(afterFailure(attempt, maxAttempts, null)).toEqual({ dead: true, unrecoverable: false });
  });

  it('an unrecoverable error is the end at once', () => {
    class Gone extends UnrecoverableEventError {}
    expect(afterFailure(1, 100, new Gone('x'))).toEqual({ dead: true, unrecoverable: true });
  });

  it("an error of BullMQ's with a similar name is an error like any other", () => {
    const error = Object.assign(new Error('x'), { name: 'UnrecoverableError' });
    expect(afterFailure(1, 2, error)).toEqual({ dead: false });
  });
});

describe('an attempt', () => {
  it('resolves with its work', async () => {
    await expect(runAttempt(handler, never, async () => {})).resolves.toBeUndefined();
  });

  it.each([[null], [undefined], ['text'], [0], [{ a: 1 }]])(
    'D10: rejects with whatever was thrown: %j',
    async (thrown) => {
      // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- that is the point
      const seen = await runAttempt(handler, never, () => Promise.reject(thrown)).then(
        () => 'resolved',
        (reason: unknown) => ({ reason }),
      );
      expect(seen).toEqual({ reason: thrown });
    },
  );

  it('aborts its signal and rejects at the timeout, whether the work heeds it or not', async () => {
    let signal: AbortSignal | undefined;
    const stubborn = deferred();
    const attempt = runAttempt({ id: 'h', timeoutMs: 20 }, never, (given) => {
      signal = given();
      return stubborn.promise;
    });
    await expect(attempt).rejects.toBeInstanceOf(HandlerTimeoutError);
    expect(signal?.aborted).toBe(true);
    expect(signal?.reason).toMatchObject({ handlerId: 'h', timeoutMs: 20 });
    // What it throws later is nobody's any more, and ends no process.
    stubborn.reject(new Error('too late'));
  });

  it('aborts its signal at the shutdown, but waits for the work', async () => {
    const shutdown = new AbortController();
    const attempt = runAttempt(handler, shutdown.signal, async (signal) => {
      setImmediate(() => shutdown.abort(new Error('leaving')));
      await new Promise((resolve) => signal().addEventListener('abort', resolve));
    });
    await expect(attempt).resolves.toBeUndefined();
  });

  it('starts with an aborted signal during the shutdown', async () => {
    const reason = new Error('leaving');
    let seen: unknown;
    await runAttempt(handler, AbortSignal.abort(reason), async (signal) => {
      seen = signal().reason;
    });
    expect(seen).toBe(reason);
  });

  it('leaves nothing behind on the shutdown signal', async () => {
    const { signal } = new AbortController();
    await runAttempt(handler, signal, async () => {});
    await runAttempt(handler, signal, () => Promise.reject(new Error('x'))).catch(() => {});
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });
});
