import { DataSource } from 'typeorm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { QueueUnavailableError } from '../../lib/errors.js';
import { eventsMigrator } from '../../lib/store/migrations/migrator.js';
import { openDataSource } from '../support/data-source.js';
import { carriedCount, jobCount, openBull, wipeQueue } from '../support/bull.js';
import { registerHandler } from '../support/register-handler.js';
import { newNamespace } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { hold } from './hold.js';
import { queueDeliveries, watchingProcess, type WatchingProcess } from './watching-process.js';

/** Several pages. */
const DELIVERIES = 1_200;

let backends: TestBackends;
let dataSource: DataSource;
beforeAll(async () => {
  backends = await createTestBackends();
  dataSource = await openDataSource(backends.database.url);
  const runner = dataSource.createQueryRunner();
  await eventsMigrator.up(runner);
  await runner.release();
});
afterAll(async () => {
  await dataSource.destroy();
  await backends.drop();
});

describe('several relays and one wipe', () => {
  let namespace: string;
  let a: WatchingProcess;
  let b: WatchingProcess;

  beforeEach(async () => {
    // Only the clock by which a stand-still is told; all else runs as it does.
    vi.useFakeTimers({ toFake: ['performance'] });
    namespace = newNamespace();
    a = await start();
    b = await start();
    await registerHandler(dataSource, namespace, 'noted');
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const start = () => watchingProcess(backends, dataSource, namespace);
  const wipe = () => wipeQueue(backends, 'redis');
  const jobs = async () => carriedCount(await openBull(backends, 'redis', namespace));

  async function filled(deliveries = DELIVERIES): Promise<void> {
    await a.watch.check();
    await b.watch.check();
    await queueDeliveries(dataSource, namespace, deliveries);
  }

  async function state(): Promise<{ queue_wipes: number; queue_generation: string }> {
    const [row] = await dataSource.sql<[{ queue_wipes: number; queue_generation: string }]>`
      SELECT queue_wipes, queue_generation FROM events_relay WHERE namespace = ${namespace}`;
    return row;
  }

  async function expectMended(wipes: number): Promise<void> {
    const { queue_generation: generation, queue_wipes: counted } = await state();
    expect(await a.queue.generation()).toBe(generation);
    expect(counted).toBe(wipes);
    expect(await jobs()).toBe(DELIVERIES);
  }

  it('D5: a refill that makes progress is left alone, however long it takes', async () => {
    await filled(8_000);
    await wipe();
    let held = hold(a.queue, 'push');
    const refill = a.watch.check();
    const ended = refill.then(() => 'ended');
    let seconds = 0;
    while ((await Promise.race([held.reached, ended])) !== 'ended') {
      await b.watch.check();
      vi.advanceTimersByTime(9_000);
      seconds += 9;
      await b.watch.check();
      const next = hold(a.queue, 'push');
      held.go();
      held = next;
    }
    expect(seconds).toBeGreaterThan(60);
    expect(b.pushes).toEqual([]);
    expect(a.refills).toMatchObject([{ deliveries: 8_000 }]);
    expect(await b.queue.generation()).toBe((await state()).queue_generation);
  });

  it('D5: one that stands still is taken over after 10 s, and stops at its next page', async () => {
    await filled();
    await wipe();
    const held = hold(a.queue, 'push', { after: true });
    const refill = a.watch.check();
    await held.reached;
    // Restarted: it can't tell whose refill it finds.
    const c = await start();
    await c.watch.check();
    vi.advanceTimersByTime(9_900);
    await c.watch.check();
    expect(c.pushes).toEqual([]);
    vi.advanceTimersByTime(100);
    await c.watch.check();
    expect(c.refills).toMatchObject([{ deliveries: DELIVERIES }]);
    held.go();
    await refill;
    expect(a.pushes).toHaveLength(1);
    expect(a.refills).toEqual([]);
    await expectMended(1);
    for (const { watch } of [a, b, c]) await watch.check();
    await expectMended(1);
  });

  it('D5: a mark read before another relay refilled is no second wipe', async () => {
    await filled();
    await wipe();
    const held = hold(a.queue, 'generation', { after: true });
    const look = a.watch.check();
    await held.reached;
    await b.watch.check();
    held.go();
    await look;
    expect(a.pushes).toEqual([]);
    await expectMended(1);
  });

  it('D5: two that notice it at once count it once, and one refills', async () => {
    await filled();
    await wipe();
    const held = hold(a.store, 'queueGeneration', { after: true });
    const look = a.watch.check();
    await held.reached;
    await b.watch.check();
    held.go();
    await look;
    expect(a.pushes).toEqual([]);
    await expectMended(1);
  });

  it('D5: one that looks before the other has left its mark waits', async () => {
    await filled();
    await wipe();
    const held = hold(a.queue, 'mark');
    const refill = a.watch.check();
    await held.reached;
    await b.watch.check();
    vi.advanceTimersByTime(4_000);
    await b.watch.check();
    held.go();
    await refill;
    expect(b.pushes).toEqual([]);
    await expectMended(1);
  });

  it('D5: a relay killed before it left its mark is replaced, and its wipe counted once', async () => {
    await filled();
    await wipe();
    const killed = hold(a.queue, 'mark');
    const refill = a.watch.check();
    await killed.reached;
    await b.watch.check();
    vi.advanceTimersByTime(10_000);
    await b.watch.check();
    await expectMended(1);
    killed.fail(new Error('killed'));
    await expect(refill).rejects.toThrow('killed');
  });

  it('D5: the first boot of two relays is no wipe', async () => {
    await queueDeliveries(dataSource, namespace, DELIVERIES);
    const held = hold(a.queue, 'mark');
    const refill = a.watch.check();
    await held.reached;
    await b.watch.check();
    held.go();
    await refill;
    await b.watch.check();
    expect(b.pushes).toEqual([]);
    await expectMended(0);
  });

  it('the first boot leaves deliveries in the jobs that they have, which may be running', async () => {
    await queueDeliveries(dataSource, namespace, DELIVERIES);
    await a.watch.check();
    const [row] = await dataSource.sql<[{ chunked: number | string }]>`
      SELECT count(chunk) AS chunked FROM events_deliveries WHERE namespace = ${namespace}`;
    expect(Number(row.chunked)).toBe(0);
    expect(await jobCount(await openBull(backends, 'redis', namespace))).toBe(DELIVERIES);
    await expectMended(0);
  });

  it('D5: a mark that could not be left is left by the next look, and not counted again', async () => {
    await filled();
    await wipe();
    for (let look = 0; look < 2; look++) {
      const held = hold(a.queue, 'mark');
      const refill = a.watch.check();
      await held.reached;
      held.fail(new QueueUnavailableError('Redis', 'tried'));
      await expect(refill).rejects.toThrow(QueueUnavailableError);
    }
    await a.watch.check();
    await expectMended(1);
  });

  it('D5: a wipe just before the end of a refill is noticed by the next look', async () => {
    await filled();
    await wipe();
    const held = hold(a.store, 'changeQueueGeneration', {
      when: (_from, to) => !String(to).startsWith('refilling-'),
    });
    const refill = a.watch.check();
    await held.reached;
    await wipe();
    held.go();
    await refill;
    await b.watch.check();
    await expectMended(2);
  });

  it('D5: a wipe in the middle of a refill makes it begin anew', async () => {
    await filled();
    await wipe();
    const held = hold(a.queue, 'push', { after: true });
    const refill = a.watch.check();
    await held.reached;
    await wipe();
    held.go();
    await refill;
    expect(a.pushes).toHaveLength(1);
    await a.watch.check();
    await expectMended(2);
  });
});
