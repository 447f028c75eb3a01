import { defineEvent, EventsHealthIndicator, InvalidOptionsError } from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { onPostgres, sql } from '../support/database.js';
import { countRows, upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { TcpProxy } from '../support/proxy.js';
import { insertDeliveries } from '../support/seed.js';
import { BULK_MS, countSignals, nextSignal, recordSignals } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { eventually } from '../support/wait.js';

const Happened = defineEvent<{ n: number }>('happened');
const Unheard = defineEvent<{ n: number }>('unheard');

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

describe('EventsHealth', () => {
  it('tells of a fresh namespace that nothing is there', async () => {
    const namespace = newNamespace();
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends.redis },
    });
    expect(await app.health.check()).toStrictEqual({
      ledger: {
        delivered: 0,
        unhandled: 0,
        completed: 0,
        discarded: 0,
        dead: 0,
        queued: 0,
        difference: 0,
      },
      outbox: { due: 0, scheduled: 0, oldestMs: undefined },
      oldestQueuedMs: undefined,
      relay: { state: 'running', failures: 0, lastPosition: 0 },
      queue: {
        target: expect.stringMatching(/^BullMQ on Redis at /) as string,
        reachable: true,
        wipes: 0,
        wipedAt: undefined,
      },
    });
  });

  it(
    'adds up at any moment, while events are emitted, relayed, completed and fail',
    async () => {
      const namespace = newNamespace();
      const app = await startApp({
        url: backends.database.url,
        events: {
          namespace,
          queue: backends.redis,
          relay: { batchSize: 20 },
          defaults: { attempts: 1 },
        },
        providers: [
          onEvent(Happened, { id: 'plain' }, () => undefined),
          onEvent(Happened, { id: 'tx', transactional: true }, () => undefined),
          onEvent(Happened, { id: 'fails' }, ({ data }) => {
            if (data.n % 10 === 0) throw new Error('every tenth');
          }),
        ],
      });
      const done = Promise.all([
        countSignals(app.signals, 'delivery.completed', 580, () => true, BULK_MS),
        countSignals(app.signals, 'delivery.dead', 20, () => true, BULK_MS),
      ]);
      let over = false;
      void done.finally(() => (over = true));
      for (const start of [0, 50, 100, 150]) {
        await app.dataSource.transaction(() =>
          app.bus.emitMany(upTo(50).map((n) => [Happened, { n: start + n }] as const)),
        );
      }
      let looks = 0;
      while (!over) {
        const { ledger } = await app.health.check();
        expect(ledger).toMatchObject({ difference: 0 });
        looks++;
      }
      await done;
      expect(looks).toBeGreaterThan(5);
      expect((await app.health.check()).ledger).toStrictEqual({
        delivered: 600,
        unhandled: 0,
        completed: 580,
        discarded: 0,
        dead: 20,
        queued: 0,
        difference: 0,
      });
    },
    BULK_MS,
  );

  it(
    'keeps the ledger short',
    async () => {
      const namespace = newNamespace();
      const app = await startApp({
        url: backends.database.url,
        events: { namespace, queue: backends.redis },
        providers: [onEvent(Happened, { id: 'tx', transactional: true }, () => undefined)],
      });
      const done = countSignals(app.signals, 'delivery.completed', 250, () => true, BULK_MS);
      await app.dataSource.transaction(() =>
        app.bus.emitMany(upTo(250).map((n) => [Happened, { n }] as const)),
      );
      await done;
      const rows = () => countRows(app.dataSource, 'events_ledger', namespace);
      await eventually(async () => (await rows()) < 100, { what: 'most of 251 rows are added up' });
      expect((await app.health.check()).ledger).toMatchObject({ completed: 250, difference: 0 });
    },
    BULK_MS,
  );

  it('notices deliveries that were never made', async () => {
    const namespace = newNamespace();
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends.redis },
      providers: [onEvent(Happened, { id: 'one' }, () => undefined)],
    });
    const lost = {
      name: `lose_${namespace}`,
      before: 'INSERT',
      table: 'events_deliveries',
      when: `NEW.namespace = '${namespace}' AND NEW.position = 2`,
    } as const;
    await sql.divert(app.dataSource, lost, 'namespace', `'nowhere'`);
    const done = countSignals(app.signals, 'delivery.completed', 2);
    await app.dataSource.transaction(() =>
      app.bus.emitMany(upTo(3).map((n) => [Happened, { n }] as const)),
    );
    await done;
    const { ledger } = await app.health.check();
    expect(ledger).toMatchObject({ delivered: 3, completed: 2, difference: 1 });
  });

  it('counts events that no handler takes, and tells of each name once', async () => {
    const namespace = newNamespace();
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends.redis },
      providers: [onEvent(Happened, { id: 'one' }, () => undefined)],
    });
    const told = recordSignals(app.signals, 'event.unhandled');
    const done = nextSignal(app.signals, 'delivery.completed');
    for (const n of upTo(3)) await emitIn(app, Unheard, { n });
    await emitIn(app, Happened, { n: 4 });
    await done;
    expect((await app.health.check()).ledger).toMatchObject({
      delivered: 1,
      unhandled: 3,
      difference: 0,
    });
    expect(told).toEqual([{ name: 'unheard' }]);
  });

  it('notices rows that were deleted by hand', async () => {
    const namespace = newNamespace();
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends.redis, defaults: { attempts: 1 } },
      providers: [
        onEvent(Happened, { id: 'fails' }, () => {
          throw new Error('as it must');
        }),
      ],
    });
    const died = nextSignal(app.signals, 'delivery.dead');
    await emitIn(app, Happened, { n: 1 });
    await died;
    await app.dataSource.sql`DELETE FROM events_deliveries WHERE namespace = ${namespace}`;
    expect((await app.health.check()).ledger).toMatchObject({ delivered: 1, difference: 1 });
    const { events } = await app.context.get(EventsHealthIndicator).isHealthy();
    expect(events).toMatchObject({
      status: 'down',
      problems: ['the ledger does not add up, by 1 deliveries'],
    });
  });

  it('tells what waits, and for how long', async () => {
    const namespace = newNamespace();
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, relay: { enabled: false }, workers: { enabled: false } },
    });
    await emitIn(app, Happened, { n: 1 });
    await emitIn(app, Happened, { n: 2 }, { delay: '1h' });
    await emitIn(app, Happened, { n: 3 }, { delay: '1ms' });
    await app.dataSource.sql`
      UPDATE events_outbox SET created_at = ${() => sql.after(-600_000)}
      WHERE namespace = ${namespace}`;
    const report = await app.health.check();
    expect(report).toMatchObject({
      outbox: { due: 2, scheduled: 1 },
      relay: { state: 'elsewhere' },
      queue: { target: undefined, reachable: undefined },
    });
    expect(report.outbox.oldestMs).toBeGreaterThanOrEqual(600_000);
    expect(report.outbox.oldestMs).toBeLessThan(660_000);
    const indicator = app.context.get(EventsHealthIndicator);
    expect((await indicator.isHealthy('bus')).bus).toMatchObject({
      status: 'down',
      problems: [expect.stringMatching(/^an event has waited 6\d{5} ms/) as string],
      outbox: { due: 2 },
    });
    expect((await indicator.isHealthy('bus', { maxOutboxAge: '1h' })).bus.status).toBe('up');
  });

  // The statistics of MariaDB are those of the whole server; what it reads is in health-plan.
  it.runIf(onPostgres)(
    'costs about the same on a large log: no statement reads what is done',
    async () => {
      const namespace = newNamespace();
      const app = await startApp({
        url: backends.database.url,
        events: { namespace, relay: { enabled: false }, workers: { enabled: false } },
      });
      await insertDeliveries(
        app.dataSource,
        namespace,
        { count: 200_000 },
        { status: `'completed'`, attempts: '1', completed_at: 'now()', rescue_at: 'NULL' },
      );
      await app.dataSource.query('ANALYZE events_deliveries');
      const before = await rowsRead();
      await app.health.check();
      expect((await rowsRead()) - before).toBeLessThan(1_000);

      async function rowsRead(): Promise<number> {
        const [row] = await app.dataSource.query<[{ rows: string }]>(
          `SELECT pg_stat_force_next_flush(),
           (SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables
            WHERE relname = 'events_deliveries')::text AS rows`,
        );
        return Number(row.rows);
      }
    },
  );
});

describe('EventsHealthIndicator', () => {
  it('is down, without an error, while the database is out of reach', async () => {
    const { hostname, port } = new URL(backends.database.url);
    const proxy = await TcpProxy.listen(hostname, Number(port));
    onTestFinished(() => proxy.close());
    const url = new URL(backends.database.url);
    url.hostname = '127.0.0.1';
    url.port = String(proxy.port);
    const app = await startApp({
      url: url.href,
      events: { namespace: newNamespace(), relay: { enabled: false }, workers: { enabled: false } },
    });
    const indicator = app.context.get(EventsHealthIndicator);
    expect((await indicator.isHealthy()).events).toMatchObject({ status: 'up' });
    proxy.cut();
    expect((await indicator.isHealthy()).events).toMatchObject({
      status: 'down',
      problems: [expect.stringMatching(/^the database can't be asked: /) as string],
    });
    proxy.heal();
    expect((await indicator.isHealthy()).events.status).toBe('up');
  });

  it('is down with more dead letters than it was told, and refuses a limit that is none', async () => {
    const namespace = newNamespace();
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends.redis, defaults: { attempts: 1 } },
      providers: [
        onEvent(Happened, { id: 'fails' }, () => {
          throw new Error('as it must');
        }),
      ],
    });
    const died = nextSignal(app.signals, 'delivery.dead');
    await emitIn(app, Happened, { n: 1 });
    await died;
    const indicator = app.context.get(EventsHealthIndicator);
    expect((await indicator.isHealthy()).events.status).toBe('up');
    expect((await indicator.isHealthy('events', { maxDead: 0 })).events).toMatchObject({
      status: 'down',
      problems: ['there are 1 dead letters'],
    });
    await expect(indicator.isHealthy('events', { maxOutboxAge: 'soon' as never })).rejects.toThrow(
      InvalidOptionsError,
    );
    await expect(indicator.isHealthy('events', { maxDeath: 0 } as never)).rejects.toThrow(
      '"isHealthy.maxDeath" is unknown (its value is 0); did you mean "maxDead"?',
    );
  });
});
