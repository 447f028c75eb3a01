import { Injectable, Module, type DynamicModule, type Provider, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  defineEvent,
  EventBus,
  EventsModule,
  ShuttingDownError,
  type EventsModuleOptions,
} from 'nestjs-durable-events';
import { DataSource } from 'typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { dataSourceOptions, openDataSource } from '../support/data-source.js';
import { QUEUE_KINDS } from '../support/bull.js';
import { sql } from '../support/database.js';
import { readDeliveries, upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { nextSignal, recordSignals } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import {
  createTestBackends,
  toTestApp,
  type TestApp,
  type TestBackends,
} from '../support/test-app.js';
import { eventually } from '../support/wait.js';

const Happened = defineEvent<{ n: number }>('happened');

let backends: TestBackends;
/** Outlives the apps. */
let observer: DataSource;
beforeAll(async () => {
  backends = await createTestBackends();
  observer = await openDataSource(backends.database.url);
  await observer.query('CREATE TABLE written (n integer)');
});
beforeEach(() => observer.query('TRUNCATE written'));
afterAll(async () => {
  await observer.destroy();
  await backends.drop();
});

async function written(): Promise<number[]> {
  const rows: { n: number }[] = await observer.query('SELECT n FROM written ORDER BY n');
  return rows.map(({ n }) => n);
}

const ORDERS = ['TypeOrmModule first', 'EventsModule first'] as const;

/** An app that imports the two modules in that order. */
async function startOrdered(
  order: (typeof ORDERS)[number],
  events: EventsModuleOptions,
  providers: Provider[],
): Promise<TestApp> {
  const modules: (DynamicModule | Type)[] = [
    TypeOrmModule.forRoot(dataSourceOptions(backends.database.url)),
    EventsModule.forRoot({ relay: { pollInterval: '50ms' }, ...events }),
  ];
  @Module({ imports: order === ORDERS[0] ? modules : modules.toReversed(), providers })
  class App {}
  const context = await NestFactory.createApplicationContext(App, {
    logger: false,
    abortOnError: false,
  });
  return toTestApp(context);
}

const CASES = QUEUE_KINDS.flatMap((kind) => ORDERS.map((order) => ({ kind, order })));

describe.each(CASES)('the shutdown, on BullMQ with $kind, $order', ({ kind, order }) => {
  it('E1 E2 E7: running handlers end well, with the DataSource, before it is destroyed', async () => {
    const namespace = newNamespace();
    const queue = backends[kind];
    let app!: TestApp;
    const slowly = async (n: number) => {
      // Longer than the rest of the shutdown takes: a DataSource destroyed too early fails it.
      for (const turn of upTo(6)) await app.dataSource.query(`SELECT ${turn}, ${sql.sleep(0.04)}`);
      await app.dataSource.transaction(async (manager) => {
        await manager.sql`INSERT INTO written VALUES (${n})`;
        await app.bus.emit(Happened, { n: 0 });
      });
    };
    app = await startOrdered(order, { namespace, queue }, [
      onEvent('plain', { id: 'plain' }, () => slowly(1)),
      onEvent('plain', { id: 'transactional', transactional: true }, async (_event, context) => {
        await context.manager.query(`SELECT ${sql.sleep(0.2)}`);
        await context.manager.query('INSERT INTO written VALUES (2)');
      }),
    ]);
    const started = Promise.all(
      ['plain', 'transactional'].map((id) =>
        nextSignal(app.signals, 'delivery.started', ({ handler }) => handler === id),
      ),
    );
    await emitIn(app, 'plain');
    await started;
    await app.close();
    expect(app.dataSource.isInitialized).toBe(false);
    expect(await written()).toEqual([1, 2]);
    expect(await readDeliveries(observer, namespace)).toMatchObject([
      { handler: 'plain', status: 'completed', attempts: 1 },
      { handler: 'transactional', status: 'completed', attempts: 1 },
    ]);
  });

  it('E1 E2: requests that are still served can emit until the end', async () => {
    const namespace = newNamespace();
    const emitted: string[] = [];
    @Injectable()
    class Requests {
      constructor(
        private readonly dataSource: DataSource,
        private readonly bus: EventBus,
      ) {}
      onModuleDestroy() {
        return this.serve();
      }
      beforeApplicationShutdown() {
        return this.serve();
      }
      private async serve() {
        const { eventId } = await this.dataSource.transaction(async () =>
          this.bus.emit(Happened, { n: 1 }),
        );
        emitted.push(eventId);
      }
    }
    const app = await startOrdered(order, { namespace, queue: backends[kind] }, [Requests]);
    await app.close();
    expect(emitted).toHaveLength(2);
    const found = await observer.sql<unknown[]>`
      SELECT event_id FROM events_outbox WHERE namespace = ${namespace}
      UNION ALL SELECT event_id FROM events_log WHERE namespace = ${namespace}`;
    expect(found).toHaveLength(2);
  });
});

describe.each(QUEUE_KINDS)('the shutdown, on BullMQ with %s', (kind) => {
  it('aborts handlers that take too long; that costs no attempt, and they run again', async () => {
    const namespace = newNamespace();
    const reasons: unknown[] = [];
    const start = (hangs: boolean) =>
      startApp({
        url: backends.database.url,
        events: {
          namespace,
          queue: backends[kind],
          shutdownTimeout: '400ms',
          workers: { lockDuration: '1s', pollInterval: '200ms' },
          defaults: { attempts: 1 },
        },
        providers: [
          onEvent(Happened, { id: 'heeds' }, (_event, { signal }) => {
            if (!hangs) return undefined;
            return new Promise((_resolve, reject) => {
              signal.addEventListener('abort', () => {
                reasons.push(signal.reason);
                reject(signal.reason as Error);
              });
            });
          }),
        ],
      });
    const first = await start(true);
    const started = nextSignal(first.signals, 'delivery.started');
    const postponed = nextSignal(first.signals, 'delivery.postponed');
    await emitIn(first, Happened, { n: 1 });
    await started;
    await first.close();
    await postponed;
    expect(reasons).toEqual([expect.any(ShuttingDownError)]);
    expect(await readDeliveries(observer, namespace)).toMatchObject([
      { status: 'queued', attempts: 0 },
    ]);
    await start(false);
    // Perhaps while it was still booting.
    await eventually(
      async () => (await readDeliveries(observer, namespace))[0]?.status === 'completed',
      { what: 'another process has handled it' },
    );
    expect(await readDeliveries(observer, namespace)).toMatchObject([
      { status: 'completed', attempts: 1 },
    ]);
  });

  it('waits no longer than its time for handlers that never end', async () => {
    const namespace = newNamespace();
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends[kind], shutdownTimeout: '500ms' },
      providers: [onEvent(Happened, { id: 'hangs', timeout: 0 }, () => new Promise(() => {}))],
    });
    const started = nextSignal(app.signals, 'delivery.started');
    await emitIn(app, Happened, { n: 1 });
    await started;
    const closing = performance.now();
    await app.close();
    // Half a second, and what a busy machine stands still.
    expect(performance.now() - closing).toBeLessThan(5_000);
    expect(await readDeliveries(observer, namespace)).toMatchObject([
      { status: 'queued', attempts: 0 },
    ]);
  });

  it('takes no new jobs, leaves what waits to others, and can be asked for twice', async () => {
    const namespace = newNamespace();
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends[kind], queues: { default: { concurrency: 1 } } },
      providers: [
        onEvent(Happened, { id: 'one' }, () => app.dataSource.query(`SELECT ${sql.sleep(0.2)}`)),
      ],
    });
    const starts = recordSignals(app.signals, 'delivery.started');
    const started = nextSignal(app.signals, 'delivery.started');
    await app.dataSource.transaction(() =>
      app.bus.emitMany(upTo(3).map((n) => [Happened, { n }] as const)),
    );
    await started;
    await Promise.all([app.close(), app.close()]);
    expect(starts).toHaveLength(1);
    const statuses = (await readDeliveries(observer, namespace)).map(({ status }) => status);
    expect(statuses).toEqual(['completed', 'queued', 'queued']);
  });
});
