import { defineEvent } from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QUEUE_KINDS, wipeJobs } from '../support/bull.js';
import { readDeliveries, sorted, upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { countSignals, nextSignal, recordSignals } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestApp, type TestBackends } from '../support/test-app.js';
import { eventually } from '../support/wait.js';

const Happened = defineEvent<{ n: number }>('happened');

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

describe.each(QUEUE_KINDS)('the rescue, on BullMQ with %s', (kind) => {
  it('D5: jobs that a wipe of the queue took are pushed again and run', async () => {
    const namespace = newNamespace();
    const relays = await startApp({
      url: backends.database.url,
      events: {
        namespace,
        queue: backends[kind],
        workers: { enabled: false },
        rescue: { after: '400ms', interval: 50 },
      },
    });
    await register(relays, namespace, 'noted');
    const pushed = nextSignal(relays.signals, 'relay.pushed');
    await relays.dataSource.transaction(() =>
      relays.bus.emitMany(upTo(20).map((n) => [Happened, { n }] as const)),
    );
    await pushed;
    const rescued = nextSignal(relays.signals, 'rescue.pushed');
    await wipeJobs(backends, kind);
    await rescued;

    const handled: number[] = [];
    await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends[kind], relay: { enabled: false } },
      providers: [
        onEvent(Happened, { id: 'noted', transactional: true }, ({ data }) => handled.push(data.n)),
      ],
    });
    await eventually(() => handled.length === 20, { what: 'all 20 are handled' });
    expect(sorted(handled)).toEqual(upTo(20));
  });

  it('D5: a wipe under a running worker loses nothing', async () => {
    const namespace = newNamespace();
    const handled: number[] = [];
    const app = await startApp({
      url: backends.database.url,
      events: {
        namespace,
        queue: backends[kind],
        queues: { default: { concurrency: 1 } },
        rescue: { after: '300ms', interval: 50 },
      },
      providers: [
        onEvent(Happened, { id: 'noted' }, async ({ data }) => {
          if (data.n === 1) await wipeJobs(backends, kind);
          handled.push(data.n);
        }),
      ],
    });
    const completed = countSignals(app.signals, 'delivery.completed', 10);
    const died = recordSignals(app.signals, 'delivery.dead');
    await app.dataSource.transaction(() =>
      app.bus.emitMany(upTo(10).map((n) => [Happened, { n }] as const)),
    );
    await completed;
    expect(sorted(new Set(handled))).toEqual(upTo(10));
    expect(died).toEqual([]);
  });

  it('pushes in batches until nothing is overdue', async () => {
    const namespace = newNamespace();
    const app = await startApp({
      url: backends.database.url,
      events: {
        namespace,
        queue: backends[kind],
        relay: { batchSize: 3 },
        rescue: { after: '10m', interval: 50 },
      },
      providers: [onEvent(Happened, { id: 'noted' }, () => undefined)],
    });
    const completed = countSignals(app.signals, 'delivery.completed', 10);
    // As a process leaves them that ends between the relay's commit and the push.
    await app.dataSource.query(
      `WITH events AS (
         INSERT INTO events_log (namespace, position, event_id, name, version, category, data,
           occurred_at, relayed_at)
         SELECT $1, n, gen_random_uuid(), 'happened', 1, 'domain', '{}', now(), now()
         FROM generate_series(1, 10) AS n RETURNING position)
       INSERT INTO events_deliveries (namespace, position, handler, status, epoch, attempts,
         max_attempts, queued_at, rescue_at)
       SELECT $1, position, 'noted', 'queued', 0, 0, 5, now(), now() FROM events`,
      [namespace],
    );
    await completed;
    const rows = await readDeliveries(app.dataSource, namespace);
    expect(rows.map(({ status }) => status)).toEqual(upTo(10).map(() => 'completed'));
  });
});

it('a delivery of a handler that nobody has any more is left alone, and the others are rescued', async () => {
  const namespace = newNamespace();
  const app = await startApp({
    url: backends.database.url,
    events: { namespace, queue: backends.redis, rescue: { after: '200ms', interval: 50 } },
    providers: [onEvent(Happened, { id: 'noted' }, () => undefined)],
  });
  const first = nextSignal(app.signals, 'delivery.completed');
  await emitIn(app, Happened, { n: 1 });
  await first;
  const again = nextSignal(app.signals, 'delivery.completed', ({ handler }) => handler === 'noted');
  await app.dataSource.query(
    `INSERT INTO events_deliveries (namespace, position, handler, status, epoch, attempts,
       max_attempts, queued_at, rescue_at)
     VALUES ($1, 1, 'vanished', 'queued', 0, 0, 5, now(), now())`,
    [namespace],
  );
  await app.dataSource.query(
    `UPDATE events_deliveries SET status = 'queued', epoch = 1, completed_at = NULL, rescue_at = now()
     WHERE namespace = $1 AND handler = 'noted'`,
    [namespace],
  );
  await again;
  expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([
    { handler: 'noted', status: 'completed', epoch: 1 },
    { handler: 'vanished', status: 'queued', attempts: 0 },
  ]);
});

/** As a process with workers does it, which then is gone. */
async function register({ dataSource }: TestApp, namespace: string, id: string): Promise<void> {
  const options = { maxAttempts: 5, priority: 50, transactional: true, aliases: [] };
  await dataSource.query(
    `INSERT INTO events_handlers (namespace, id, events, queue, options, first_seen_at, last_seen_at)
     VALUES ($1, $2, '["happened"]', 'default', $3, now(), now())`,
    [namespace, id, JSON.stringify(options)],
  );
}
