import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { QUEUE_KINDS } from '../support/bull.js';
import { upTo } from '../support/deliveries.js';
import { proxiedQueue } from '../support/proxied.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { eventually } from '../support/wait.js';
import { asleep } from './asleep.js';
import { noting, OwnQueue } from './own-queue.js';

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

describe.each(QUEUE_KINDS)('connections to %s that only seem to be open', (kind) => {
  it('D4: cost one push its time limit; the next ones use new connections', async () => {
    const { proxy, queue } = await proxiedQueue(backends, kind);
    const own = new OwnQueue(queue);
    await own.push([1]);
    // More than one connection, where there is a pool.
    await Promise.all(upTo(3).map((n) => own.push([n + 1])));
    proxy.strand();
    const stranded = performance.now();
    await expect(own.push([5])).rejects.toThrow(/can't be reached/);
    await eventually(() => own.push([6]).then(() => true), { what: 'a push arrives' });
    expect(performance.now() - stranded).toBeLessThan(9_000);
    const again = performance.now();
    await Promise.all(upTo(3).map((n) => own.push([n + 6])));
    // Less than the time limit of one.
    expect(performance.now() - again).toBeLessThan(4_500);
  }, 20_000);
});

it("D4: a pool full of such connections is renewed, one query's time limit later", async () => {
  const { proxy, queue } = await proxiedQueue(backends, 'postgres');
  const own = new OwnQueue(queue);
  const pushMany = () => Promise.allSettled(upTo(20).map((n) => own.push([n])));
  await own.push([1]);
  await pushMany();
  proxy.strand();
  const stranded = performance.now();
  await pushMany();
  await eventually(() => own.push([2]).then(() => true), {
    what: 'a push arrives',
    timeout: 20_000,
  });
  expect(performance.now() - stranded).toBeLessThan(15_000);
}, 30_000);

it('D13: every worker on Redis has connections of its own, which end with it', async () => {
  const own = new OwnQueue(backends.redis);
  const other = own.another(backends.redis);
  const redis = new Redis(inject('redisUrl'));
  const blocked = async () =>
    String(await redis.client('LIST'))
      .split('\n')
      .filter((client) => client.includes(Buffer.from(own.bullName).toString('base64'))).length;
  try {
    const seen: number[] = [];
    const worker = own.work(noting(seen));
    const kept = own.work(noting(seen));
    await eventually(async () => (await blocked()) === 2, { what: 'two workers wait for jobs' });
    await worker.close(1_000, 1_000);
    await eventually(async () => (await blocked()) === 1, { what: 'one is gone' });
    await other.push([1]);
    await eventually(() => seen.length === 1, { what: 'the other works' });
    await kept.close(1_000, 1_000);
    await own.queue.close(1_000);
    await eventually(async () => (await blocked()) === 0, { what: 'both are gone' });
    expect(seen).toEqual([1]);
  } finally {
    redis.disconnect();
  }
});

it('D13: a worker that is closed behind dead connections leaves none open on Redis', async () => {
  const { proxy, queue } = await proxiedQueue(backends, 'redis');
  const own = new OwnQueue(queue);
  const worker = own.work(noting([]), { pollIntervalMs: 10_000 });
  await asleep(backends, 'redis', own);
  const open = proxy.clients;
  proxy.strand();
  await worker.close(300, 300);
  await eventually(() => proxy.clients === 1, { what: `of ${open}, only the producer's is left` });
  expect(open).toBe(3);
});
