import { defineEvent } from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QUEUE_KINDS, wipeJobs } from '../support/bull.js';
import { sql } from '../support/database.js';
import { readDeliveries, sorted, upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { registerHandler } from '../support/register-handler.js';
import { insertDeliveries, insertLogged } from '../support/seed.js';
import { countSignals, nextSignal, recordSignals } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { eventually } from '../support/wait.js';

const Happened = defineEvent<{ n: number }>('happened');

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

it('a queued delivery whose event was deleted from the log is told of, once', async () => {
  const namespace = newNamespace();
  const app = await startApp({
    url: backends.database.url,
    events: {
      namespace,
      queue: backends.redis,
      workers: { enabled: false },
      // So that the sweep at the boot finds nothing, however late it is.
      rescue: { after: '1h', interval: '1h' },
    },
  });
  await registerHandler(app.dataSource, namespace, 'noted');
  const pushed = nextSignal(app.signals, 'relay.pushed');
  await app.dataSource.transaction(() =>
    app.bus.emitMany(upTo(2).map((n) => [Happened, { n }] as const)),
  );
  await pushed;
  await app.dataSource.sql`DELETE FROM events_log WHERE namespace = ${namespace} AND position = 1`;
  const stranded = recordSignals(app.signals, 'delivery.stranded');
  for (let look = 0; look < 2; look++) {
    await app.dataSource.sql`
      UPDATE events_deliveries SET rescue_at = queued_at WHERE namespace = ${namespace}`;
    const rescued = nextSignal(app.signals, 'rescue.pushed');
    await app.deadLetters.redrive({ all: true }); // triggers a look
    expect(await rescued).toEqual({ deliveries: 1 });
  }
  expect(stranded).toMatchObject([{ position: 1, handler: 'noted' }]);
  expect((await app.health.check()).ledger).toMatchObject({ queued: 2, difference: 0 });
});

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
    await registerHandler(relays.dataSource, namespace, 'noted');
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
    await app.dataSource.transaction(async (manager) => {
      await insertLogged(manager, namespace, { count: 10 });
      await insertDeliveries(manager, namespace, { count: 10 }, { rescue_at: sql.now });
    });
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
  const overdue = { rescue_at: sql.now };
  await insertDeliveries(app.dataSource, namespace, { count: 1, handler: 'vanished' }, overdue);
  await app.dataSource.sql`
    UPDATE events_deliveries
    SET status = 'queued', epoch = 1, completed_at = NULL, rescue_at = ${() => sql.now}
    WHERE namespace = ${namespace} AND handler = 'noted'`;
  await again;
  expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([
    { handler: 'noted', status: 'completed', epoch: 1 },
    { handler: 'vanished', status: 'queued', attempts: 0 },
  ]);
});
