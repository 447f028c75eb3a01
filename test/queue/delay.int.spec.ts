import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QUEUE_KINDS } from '../support/bull.js';
import { sorted } from '../support/deliveries.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { eventually } from '../support/wait.js';
import { OwnQueue } from './own-queue.js';

const DELAY_MS = 600;

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

describe.each(QUEUE_KINDS)('a queue on %s', (kind) => {
  it('runs a delayed job when it is due, and others meanwhile', async () => {
    const own = new OwnQueue(backends[kind]);
    const seen = new Map<number, number>();
    own.work(async ({ data: { deliveries } }) => {
      for (const { position } of deliveries) seen.set(position, performance.now());
    });
    await own.queue.ready();
    // Not due before the test ends, however slow it is: the others don't wait for it.
    await own.push([4], { delayMs: 600_000 });
    const pushed = performance.now();
    await own.push([1], { delayMs: DELAY_MS });
    await own.push([2]);
    await own.push([3], { priority: 5, delayMs: 0 });
    await eventually(() => seen.size === 3, { what: 'all that are due have run' });
    expect(sorted(seen.keys())).toEqual([1, 2, 3]);
    // Clocks in milliseconds leave a little room.
    expect(seen.get(1)! - pushed).toBeGreaterThan(DELAY_MS - 5);
  });
});
