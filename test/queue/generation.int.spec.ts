import { Redis } from 'ioredis';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openBullNamed, QUEUE_KINDS } from '../support/bull.js';
import { proxiedQueue } from '../support/proxied.js';
import { startRedis } from '../support/services.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { eventually } from '../support/wait.js';
import { noting, OwnQueue } from './own-queue.js';

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

describe.each(QUEUE_KINDS)('the generation mark of a queue on %s', (kind) => {
  it('D5: is absent in a new queue, and is what was last left there, for every process', async () => {
    const own = new OwnQueue(backends[kind]);
    const other = own.another(backends[kind]);
    expect(await own.queue.generation()).toBeUndefined();
    await own.queue.mark('one');
    expect(await other.queue.generation()).toBe('one');
    await other.queue.mark('two');
    expect(await own.queue.generation()).toBe('two');
  });

  it('D5: is not touched by what BullMQ writes beside it', async () => {
    const own = new OwnQueue(backends[kind]);
    await own.queue.mark('one');
    const bull = openBullNamed(backends, kind, own.bullName);
    await bull.waitUntilReady();
    await bull.pause();
    await bull.setGlobalConcurrency(3);
    await bull.resume();
    await bull.removeGlobalConcurrency();
    const seen: number[] = [];
    own.work(noting(seen));
    await own.push([1]);
    await eventually(() => seen.length > 0, { what: 'the job has run' });
    expect(seen).toEqual([1]);
    // BullMQ writes its metadata whenever a queue is opened.
    const version = await bull.getVersion();
    expect(version).toMatch(/^bullmq:/);
    expect(await own.another(backends[kind]).queue.generation()).toBe('one');
  });

  it.each(['cut', 'blackhole'] as const)(
    'D5: can be asked for again after an outage (%s)',
    async (fault) => {
      const { proxy, queue } = await proxiedQueue(backends, kind);
      const own = new OwnQueue(queue);
      await own.queue.mark('one');
      proxy[fault]();
      await expect(own.queue.generation()).rejects.toThrow(/can't be reached/);
      proxy.heal();
      await expect.poll(() => own.queue.generation(), { timeout: 10_000 }).toBe('one');
    },
    20_000,
  );
});

it('D5: vanishes with FLUSHALL', async () => {
  const server = await startRedis();
  const own = new OwnQueue({ redis: server.url });
  const redis = new Redis(server.url);
  try {
    await own.queue.mark('one');
    await redis.flushall();
    expect(await own.queue.generation()).toBeUndefined();
  } finally {
    redis.disconnect();
    await own.queue.close(1_000);
    await server.stop();
  }
});

it("D5: vanishes with TRUNCATE of BullMQ's metadata", async () => {
  const own = new OwnQueue(backends.postgres);
  await own.queue.mark('one');
  const client = new pg.Client({ connectionString: backends.database.url });
  await client.connect();
  await client.query('TRUNCATE bullmq.meta');
  await client.end();
  expect(await own.queue.generation()).toBeUndefined();
});
