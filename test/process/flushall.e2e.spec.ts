import { defineEvent } from 'nestjs-durable-events';
import { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { startRedis } from '../support/services.js';
import { BULK_MS, countSignals, nextSignal, recordSignals } from '../support/signals.js';
import { startApp } from '../support/start-app.js';
import { deferred, eventually } from '../support/wait.js';
import { ownServer } from './servers.js';

const Placed = defineEvent<{ n: number }>('order.placed');

const EVENTS = 5_000;
/** Two handlers each. */
const DELIVERIES = 2 * EVENTS;
const RUNNING = { tx: 30, plain: 20 };

it(
  'D5: FLUSHALL while 10,000 deliveries wait and 50 run: noticed within 5 s, all completed, no ' +
    'transactional effect twice',
  { timeout: 180_000 },
  async () => {
    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    const redis = await ownServer(startRedis);
    const gate = deferred();
    const running = { tx: 0, plain: 0 };
    const app = await startApp({
      url: database.url,
      // Half of them are for transactional handlers.
      dataSource: { extra: { max: 2 * RUNNING.tx } },
      events: {
        queue: { redis: redis.url },
        queues: {
          default: { concurrency: RUNNING.tx },
          plain: { concurrency: RUNNING.plain },
        },
        rescue: { after: '1h', interval: '1h' },
        // All wait for the gate.
        defaults: { timeout: 0 },
      },
      providers: [
        onEvent(Placed, { id: 'tx', transactional: true }, async ({ data }, { manager }) => {
          running.tx++;
          await manager.query('INSERT INTO effects (n) VALUES ($1)', [data.n]);
          await gate.promise;
        }),
        onEvent(Placed, { id: 'plain', queue: 'plain' }, async () => {
          running.plain++;
          await gate.promise;
        }),
      ],
    });
    await app.dataSource.query('CREATE TABLE effects (n integer)');
    const died = recordSignals(app.signals, 'delivery.dead');
    const failed = recordSignals(app.signals, 'delivery.failed');
    await app.dataSource.transaction(() =>
      app.bus.emitMany(upTo(EVENTS).map((n) => [Placed, { n }] as const)),
    );
    await eventually(async () => (await app.health.check()).ledger.delivered === DELIVERIES, {
      what: 'all are relayed',
    });
    await eventually(() => running.tx === RUNNING.tx && running.plain === RUNNING.plain, {
      what: '50 run',
    });

    const wiped = nextSignal(app.signals, 'queue.wiped');
    const refilled = countSignals(app.signals, 'queue.refilled', 1, () => true, BULK_MS);
    const client = new Redis(redis.url);
    onTestFinished(() => client.disconnect());
    const at = performance.now();
    await client.flushall();
    await wiped;
    const noticedMs = performance.now() - at;
    expect(noticedMs).toBeLessThan(5_000);
    await refilled;
    gate.resolve();
    await eventually(async () => (await app.health.check()).ledger.completed === DELIVERIES, {
      what: 'all are completed',
      timeout: 60_000,
    });

    const effects: { n: number; times: number }[] = await app.dataSource.query(
      'SELECT n, count(*)::integer AS times FROM effects GROUP BY n',
    );
    expect(effects).toHaveLength(EVENTS);
    expect(effects.filter(({ times }) => times > 1)).toEqual([]);
    expect([...died, ...failed]).toEqual([]);
    expect(await app.health.check()).toMatchObject({
      ledger: { delivered: DELIVERIES, completed: DELIVERIES, queued: 0, dead: 0, difference: 0 },
      queue: { wipes: 1 },
    });
    await eventually(async () => (await jobs(client)) === 0, { what: 'no job is left' });
  },
);

async function jobs(client: Redis): Promise<number> {
  return (await client.keys('*')).filter((key) => /:default-c?\d+-[\w-]+-\d+$/.test(key)).length;
}
