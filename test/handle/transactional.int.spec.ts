import {
  defineEvent,
  EventTransactionFailedError,
  type HandlerContext,
} from 'nestjs-durable-events';
import type { DataSourceOptions } from 'typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { toBullJob } from '../../lib/queue/bull-job.js';
import { openBull, QUEUE_KINDS } from '../support/bull.js';
import { pool } from '../support/data-source.js';
import { onPostgres, sql } from '../support/database.js';
import { readDeliveries, readPositions, sorted, upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { countSignals, nextSignal, recordSignals } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestApp, type TestBackends } from '../support/test-app.js';
import { deferred, eventually } from '../support/wait.js';

const Ordered = defineEvent<{ n: number }>('ordered');
const Reserved = defineEvent<{ n: number }>('reserved');

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

type Handle = (n: number, context: HandlerContext, app: TestApp) => unknown;

/** An app with one transactional handler; `effects` is what handlers write to. */
async function startTransactional(
  handle: Handle,
  { kind = 'redis', dataSource = {}, ...options }: Options = {},
) {
  const namespace = newNamespace();
  const app: TestApp = await startApp({
    url: backends.database.url,
    dataSource,
    events: {
      namespace,
      queue: backends[kind],
      relay: { pollInterval: '50ms' },
      defaults: { attempts: 3, backoff: 5 },
    },
    providers: [
      onEvent(Ordered, { id: 'reserves', transactional: true, ...options }, ({ data }, context) =>
        handle(data.n, context, app),
      ),
    ],
  });
  await app.dataSource.query('CREATE TABLE IF NOT EXISTS effects (n integer)');
  await app.dataSource.query('TRUNCATE effects');
  return { app, namespace };
}

interface Options {
  kind?: (typeof QUEUE_KINDS)[number];
  dataSource?: Partial<DataSourceOptions>;
  timeout?: number;
}

function effect({ manager }: Pick<HandlerContext, 'manager'>, n: number): Promise<unknown> {
  return manager.sql`INSERT INTO effects VALUES (${n})`;
}

async function effects({ dataSource }: TestApp): Promise<number[]> {
  const rows: { n: number }[] = await dataSource.query('SELECT n FROM effects');
  return sorted(rows.map(({ n }) => n));
}

describe.each(QUEUE_KINDS)('a transactional handler, on BullMQ with %s', (kind) => {
  it('commits its writes, its emits and its completion together', async () => {
    const before: unknown[] = [];
    const { app, namespace } = await startTransactional(
      async (n, context) => {
        await effect(context, n);
        await app.bus.emit(Reserved, { n });
        await app.bus.emit(Reserved, { n: n + 1 }, { manager: context.manager });
        // Another connection sees nothing of it yet.
        before.push(
          await effects(app),
          await readPositions(app.dataSource, namespace),
          (await readDeliveries(app.dataSource, namespace))[0]?.status,
        );
      },
      { kind },
    );
    const completed = nextSignal(app.signals, 'delivery.completed');
    const moved = nextSignal(app.signals, 'relay.moved', ({ events }) => events === 2);
    await emitIn(app, Ordered, { n: 1 });
    await completed;
    expect(before).toEqual([[], [1], 'queued']);
    expect(await effects(app)).toEqual([1]);
    expect((await moved).lastPosition).toBe(3);
    expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([
      { handler: 'reserves', status: 'completed', attempts: 1 },
    ]);
  });

  it('leaves nothing of an attempt that fails', async () => {
    const { app, namespace } = await startTransactional(
      async (n, context) => {
        await effect(context, n);
        await app.bus.emit(Reserved, { n });
        if (context.attempt === 1) throw new Error('too late');
      },
      { kind },
    );
    const failed = nextSignal(app.signals, 'delivery.failed');
    const completed = nextSignal(app.signals, 'delivery.completed');
    await emitIn(app, Ordered, { n: 1 });
    await failed;
    await completed;
    expect(await effects(app)).toEqual([1]);
    // Of the two attempts' emits only the second's lies between these two.
    const { eventId } = await emitIn(app, defineEvent('after'));
    const position = async () => (await app.log.get(eventId))?.position;
    expect(await eventually(position, { what: '"after" is relayed' })).toBe(3);
    expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([
      { status: 'completed', attempts: 2, last_error: expect.stringMatching('too late') as string },
    ]);
  });

  it('D8: has one effect although its job runs twice at once', async () => {
    const release = deferred();
    let runs = 0;
    const { app, namespace } = await startTransactional(
      async (n, context) => {
        runs++;
        await release.promise;
        await effect(context, n);
      },
      { kind },
    );
    const started = countSignals(app.signals, 'delivery.started', 2);
    const first = nextSignal(app.signals, 'delivery.started');
    const completed = nextSignal(app.signals, 'delivery.completed');
    const postponed = nextSignal(app.signals, 'delivery.postponed');
    const paused = recordSignals(app.signals, 'workers.paused');
    const skipped = nextSignal(app.signals, 'delivery.skipped');
    await emitIn(app, Ordered, { n: 1 });
    await first;
    const bull = await openBull(backends, kind, namespace);
    const data = { handler: 'reserves', deliveries: [{ position: 1, epoch: 0 }] };
    await bull.add('reserves', data, {
      ...toBullJob({ id: 'twin', queue: 'default', priority: undefined, data }).opts,
    });
    await started;
    // It waits in the queue, not in the database with a connection and a lock.
    expect(String((await postponed).error)).toMatch(/lock/i);
    release.resolve();
    await completed;
    expect((await skipped).reason).toBe('it is completed');
    expect(paused).toEqual([]);
    expect(runs).toBe(1);
    expect(await effects(app)).toEqual([1]);
    expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([
      { status: 'completed', attempts: 1 },
    ]);
  });
});

describe('a transactional handler', () => {
  it('A1: has failed when it swallowed an error that broke its transaction', async () => {
    const { app, namespace } = await startTransactional(async (n, context) => {
      await effect(context, n);
      if (context.attempt > 1) return;
      await context.manager.query(sql.conflict).catch(() => undefined);
    });
    const failed = nextSignal(app.signals, 'delivery.failed');
    const completed = nextSignal(app.signals, 'delivery.completed');
    await emitIn(app, Ordered, { n: 1 });
    expect((await failed).error).toBeInstanceOf(EventTransactionFailedError);
    await completed;
    expect(await effects(app)).toEqual([1]);
    expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([
      { status: 'completed', attempts: 2 },
    ]);
  });

  // Others have no constraints that are checked at the commit.
  it.runIf(onPostgres)('has failed when only its commit does', async () => {
    const { app, namespace } = await startTransactional(async (_n, context) => {
      if (context.attempt > 1) return;
      await context.manager.query(
        'CREATE TABLE once (n integer UNIQUE DEFERRABLE INITIALLY DEFERRED)',
      );
      await context.manager.query('INSERT INTO once VALUES (1), (1)');
    });
    const failed = nextSignal(app.signals, 'delivery.failed');
    const completed = nextSignal(app.signals, 'delivery.completed');
    await emitIn(app, Ordered, { n: 1 });
    expect(String((await failed).error)).toMatch(/duplicate key/);
    await completed;
    expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([
      { status: 'completed', attempts: 2 },
    ]);
  });

  it('keeps nothing of a nested transaction that it rolled back', async () => {
    const { app } = await startTransactional(async (n, context) => {
      await effect(context, n);
      await context.manager
        .transaction(async (nested) => {
          await effect({ manager: nested }, 99);
          await app.bus.emit(Reserved, { n: 99 });
          throw new Error('not this');
        })
        .catch(() => undefined);
      await app.bus.emit(Reserved, { n });
    });
    const moved = recordSignals(app.signals, 'relay.moved');
    const second = nextSignal(app.signals, 'relay.moved', ({ lastPosition }) => lastPosition === 2);
    await emitIn(app, Ordered, { n: 1 });
    await second;
    expect(moved.map(({ events }) => events)).toEqual([1, 1]);
    expect(await effects(app)).toEqual([1]);
  });

  it('has failed when it returns before a nested transaction of it has ended', async () => {
    let nested: Promise<unknown> = Promise.resolve();
    const { app, namespace } = await startTransactional(async (n, context) => {
      await effect(context, n);
      if (context.attempt > 1) return;
      const begun = deferred();
      nested = context.manager
        .transaction(async (inner) => {
          begun.resolve();
          await inner.query(`SELECT ${sql.sleep(0.2)}`);
          await effect({ manager: inner }, 99);
        })
        .catch(() => undefined);
      await begun.promise;
    });
    const failed = nextSignal(app.signals, 'delivery.failed');
    const completed = nextSignal(app.signals, 'delivery.completed');
    await emitIn(app, Ordered, { n: 1 });
    expect(String((await failed).error)).toMatch(/nested transaction.*await it/);
    await Promise.all([completed, nested]);
    expect(await effects(app)).toEqual([1]);
    expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([
      { status: 'completed', attempts: 2 },
    ]);
  });

  it('costs no attempt when the database asks to try again', async () => {
    let runs = 0;
    const { app, namespace } = await startTransactional(async (n, context) => {
      await effect(context, n);
      if (++runs > 1) return;
      await context.manager.query(sql.conflict);
    });
    const postponed = nextSignal(app.signals, 'delivery.postponed');
    const completed = nextSignal(app.signals, 'delivery.completed');
    await emitIn(app, Ordered, { n: 1 });
    await postponed;
    expect(await completed).toMatchObject({ attempt: 1 });
    expect(await effects(app)).toEqual([1]);
    expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([{ attempts: 1 }]);
  });

  // The driver of MariaDB waits for a free one as long as it takes.
  it.runIf(onPostgres)('costs no attempt when there is no free connection', async () => {
    const { app, namespace } = await startTransactional((n, context) => effect(context, n), {
      // Far more than a stall takes.
      dataSource: pool(1, 2_500),
    });
    const failed = recordSignals(app.signals, 'delivery.failed');
    const postponed = nextSignal(app.signals, 'delivery.postponed');
    const completed = nextSignal(app.signals, 'delivery.completed');
    // Asked for in the moment before the delivery's transaction begins, so served before it; given
    // back in time to record a failed attempt, if it were one.
    const greedy = app.dataSource.createQueryRunner();
    const off = app.signals.on('delivery.started', () => {
      off();
      void greedy
        .query(`SELECT ${sql.sleep(3)}`)
        .catch(() => undefined)
        .finally(() => void greedy.release());
    });
    await app.dataSource.transaction(() => app.bus.emit(Ordered, { n: 1 }));
    await postponed;
    await completed;
    expect(failed).toEqual([]);
    expect(await effects(app)).toEqual([1]);
    const [row] = await readDeliveries(app.dataSource, namespace);
    expect(row).toMatchObject({ status: 'completed', attempts: 1 });
  });

  it('leaves half of the connections to its handlers and to the application', async () => {
    const { app } = await startTransactional(
      async (n, context) => {
        // A second connection: with all of them in transactions, nobody would ever get one.
        await app.dataSource.query('SELECT 1');
        await effect(context, n);
      },
      { dataSource: pool(4) },
    );
    const postponed = recordSignals(app.signals, 'delivery.postponed');
    const failed = recordSignals(app.signals, 'delivery.failed');
    const completed = countSignals(app.signals, 'delivery.completed', 40);
    await app.dataSource.transaction(() =>
      app.bus.emitMany(upTo(40).map((n) => [Ordered, { n }] as const)),
    );
    await completed;
    expect(failed).toEqual([]);
    expect(postponed).toEqual([]);
    expect((await effects(app)).toSorted((a, b) => a - b)).toEqual(upTo(40));
  });

  it('has its manager in the context; others are told what it needs', async () => {
    const app = await startApp({
      url: backends.database.url,
      events: { namespace: newNamespace(), queue: backends.redis, defaults: { attempts: 1 } },
      providers: [onEvent(Ordered, { id: 'plain' }, (_event, { manager }) => manager)],
    });
    const dead = nextSignal(app.signals, 'delivery.dead');
    await emitIn(app, Ordered, { n: 1 });
    expect(String((await dead).error)).toMatch(/"plain".*transactional: true/);
  });
});

describe('a transactional handler that goes on after its timeout', () => {
  const late: Record<string, (context: HandlerContext) => Promise<unknown>> = {
    'in its transaction': async (context) => {
      await context.manager.query(`SELECT ${sql.sleep(0.3)}`);
      await effect(context, 1);
    },
    'in a nested transaction': (context) =>
      context.manager.transaction(async (nested) => {
        await nested.query(`SELECT ${sql.sleep(0.3)}`);
        await effect({ manager: nested }, 1);
      }),
    'in many statements at once': async (context) => {
      await Promise.allSettled(
        upTo(20).map(async () => {
          await context.manager.query(`SELECT ${sql.sleep(0.02)}`);
          await effect(context, 1);
        }),
      );
    },
  };
  let ended = deferred();
  beforeEach(() => {
    ended = deferred();
  });

  it.each(Object.keys(late))('leaves nothing behind: %s', async (how) => {
    const { app, namespace } = await startTransactional(
      async (_n, context) => {
        // (It waits for nothing, so the timeout can't be its own.)
        if (context.attempt > 1) return undefined;
        return late[how]!(context).finally(() => ended.resolve());
      },
      { timeout: 100, dataSource: pool(4) },
    );
    const failed = nextSignal(app.signals, 'delivery.failed');
    const completed = nextSignal(app.signals, 'delivery.completed');
    await emitIn(app, Ordered, { n: 1 });
    expect((await failed).error).toMatchObject({ handlerId: 'reserves', timeoutMs: 100 });
    await Promise.all([completed, ended.promise]);
    // Every connection of the pool is used again: none of them is still in that transaction.
    await Promise.all(
      upTo(4).map((n) =>
        app.dataSource.transaction(async (manager) => {
          await manager.query(`SELECT ${sql.sleep(0.05)}`);
          await effect({ manager }, n + 10);
        }),
      ),
    );
    expect(await effects(app)).toEqual([11, 12, 13, 14]);
    expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([
      { status: 'completed', attempts: 2 },
    ]);
  });
});
