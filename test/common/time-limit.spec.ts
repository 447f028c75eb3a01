import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { pause, settleWithin, withTimeLimit } from '../../lib/common/time-limit.js';
import { deferred } from '../support/wait.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('withTimeLimit', () => {
  const late = () => new Error('too late');

  it('resolves with the result, and leaves no timer behind', async () => {
    expect(await withTimeLimit(Promise.resolve('done'), 1_000, late)).toBe('done');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('rejects with the error of the work, and leaves no timer behind', async () => {
    const work = Promise.reject(new Error('failed'));
    await expect(withTimeLimit(work, 1_000, late)).rejects.toThrow('failed');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('rejects at the limit; a later failure of the work is nobody’s unhandled rejection', async () => {
    const work = deferred();
    const limited = withTimeLimit(work.promise, 1_000, late);
    vi.advanceTimersByTime(1_000);
    await expect(limited).rejects.toThrow('too late');
    // vitest fails the run if this is unhandled.
    work.reject(new Error('after the end'));
  });
});

describe('settleWithin', () => {
  it('tells whether the work ended in time, however it ended', async () => {
    expect(await settleWithin(Promise.resolve(), 1_000)).toBe(true);
    expect(await settleWithin(Promise.reject(new Error('failed')), 1_000)).toBe(true);
    const never = settleWithin(deferred().promise, 1_000);
    vi.advanceTimersByTime(1_000);
    expect(await never).toBe(false);
  });
});

describe('pause', () => {
  it('resolves after its time', async () => {
    const paused = pause(1_000);
    vi.advanceTimersByTime(999);
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(1);
    await paused;
  });

  it('resolves at once when the signal aborts, and leaves no timer behind', async () => {
    const controller = new AbortController();
    const paused = pause(1_000, controller.signal);
    controller.abort();
    await paused;
    expect(vi.getTimerCount()).toBe(0);
  });

  it('does not start when the signal has aborted already', async () => {
    await pause(1_000, AbortSignal.abort());
    expect(vi.getTimerCount()).toBe(0);
  });
});
