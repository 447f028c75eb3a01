import {
  defineEvent,
  EventTransactionFailedError,
  type HandlerContext,
} from 'nestjs-durable-events';
import type { DataSource, EntityManager } from 'typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createMariadbDatabase, type TestDatabase } from '../../support/database.js';
import { onEvent } from '../../support/inline-handler.js';
import { nextSignal } from '../../support/signals.js';
import { emitIn, newNamespace, startApp } from '../../support/start-app.js';
import {
  createTestBackends,
  startTestApp,
  type TestApp,
  type TestBackends,
} from '../../support/test-app.js';
import { eventually } from '../../support/wait.js';

const Placed = defineEvent<{ n: number }>('placed');

let backends: TestBackends;
let database: TestDatabase;
let app: TestApp;
beforeAll(async () => {
  backends = await createTestBackends();
  database = await createMariadbDatabase();
  app = await startTestApp({
    url: database.url,
    dataSource: { type: 'mysql', extra: { multipleStatements: true } },
    events: {
      namespace: newNamespace(),
      queue: backends.redis,
      relay: { enabled: false },
      workers: { enabled: false },
    },
  });
  await app.dataSource.query('CREATE TABLE projection (n int PRIMARY KEY)');
});
beforeEach(async () => {
  await app.dataSource.query('DELETE FROM projection');
  await app.dataSource.query('DELETE FROM events_outbox');
});
afterAll(async () => {
  await app.close();
  await database.drop();
  await backends.drop();
});

const emit = (manager: EntityManager) => app.bus.emit(Placed, { n: 1 }, { manager });
const emitted = async () =>
  (await app.dataSource.query<unknown[]>('SELECT seq FROM events_outbox')).length;
const expectEndedEarly = async (work: Promise<unknown>) => {
  const error = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(EventTransactionFailedError);
  expect((error as Error).message).toMatch(/ended this transaction before its time/);
};

/** Each ends the transaction it is sent in; some begin another one, some fail as well. */
const ENDS = [
  'TRUNCATE projection',
  'CREATE TABLE IF NOT EXISTS projection (n int)',
  'CREATE TABLE projection (n int)',
  'ANALYZE TABLE projection',
  'LOCK TABLES projection WRITE, events_outbox WRITE',
  'COMMIT',
  '/* all of it */ commit work;',
  'COMMIT AND CHAIN',
  'START TRANSACTION',
  '-- again\nBEGIN',
  'ROLLBACK',
  'INSERT INTO projection VALUES (9); COMMIT; START TRANSACTION; DELETE FROM projection',
];

describe.each(ENDS)('in a transaction, %j', (sql) => {
  // An error of its own is swallowed: the transaction is gone all the same.
  const end = (manager: EntityManager) => manager.query(sql).catch(() => undefined);
  const unlock = (manager: EntityManager) => manager.query('UNLOCK TABLES');

  it('lets no event be written after it', async () => {
    const work = app.dataSource.transaction(async (manager) => {
      await manager.query('INSERT INTO projection VALUES (1)');
      await end(manager);
      await expectEndedEarly(emit(manager));
      await unlock(manager);
      throw new Error('rolled back');
    });
    await expect(work).rejects.toThrow('rolled back');
    expect(await emitted()).toBe(0);
  });

  it('after an event makes the commit throw', async () => {
    const work = app.dataSource.transaction(async (manager) => {
      await emit(manager);
      await end(manager);
      await unlock(manager);
    });
    await expectEndedEarly(work);
  });

  it('beside an event makes the commit throw', async () => {
    const work = app.dataSource.transaction(async (manager) => {
      await Promise.allSettled([end(manager), emit(manager)]);
      await unlock(manager);
    });
    await expectEndedEarly(work);
    expect(await emitted()).toBe(0);
  });
});

describe('in a transaction', () => {
  it('a statement that nobody awaited makes the commit throw too', async () => {
    const work = app.dataSource.transaction(async (manager) => {
      await emit(manager);
      void manager.query('TRUNCATE projection');
    });
    await expectEndedEarly(work);
  });

  it.each([
    ["SELECT 'COMMIT'"],
    ['INSERT INTO projection VALUES (5) RETURNING n'],
    ['SHOW TABLES'],
    ['SELECT * FROM nothing_of_that_name'],
    ['INSERT INTO projection VALUES (1)'],
    ['SAVEPOINT mine; ROLLBACK TO SAVEPOINT mine; ROLLBACK WORK TO mine'],
    ['CREATE TEMPORARY TABLE IF NOT EXISTS scratch (n int)'],
    ['BEGIN NOT ATOMIC DO 1; END'],
  ])('%j ends nothing: events before and after it are saved', async (sql) => {
    await app.dataSource.transaction(async (manager) => {
      await manager.query('INSERT INTO projection VALUES (1)');
      await emit(manager);
      await manager.query(sql).catch(() => undefined);
      await manager.transaction((nested) => emit(nested));
    });
    expect(await emitted()).toBe(2);
  });

  it('without an event it is the application’s own affair, and forgotten with the transaction', async () => {
    const runner = app.dataSource.createQueryRunner();
    for (const events of [0, 1]) {
      await runner.startTransaction();
      if (events === 0) await runner.query('TRUNCATE projection');
      else await emit(runner.manager);
      await runner.commitTransaction();
    }
    await runner.release();
    expect(await emitted()).toBe(1);
  });
});

interface Row {
  status: string;
  attempts: number;
  last_error: string;
}

/** Starts a transactional handler that has two attempts, and lets it have one event. */
async function handleIn(handle: (context: HandlerContext) => Promise<unknown>) {
  const namespace = newNamespace();
  const worker = await startApp({
    url: database.url,
    dataSource: { type: 'mysql' },
    events: { namespace, queue: backends.redis, defaults: { attempts: 2, backoff: 5 } },
    providers: [
      onEvent(Placed, { id: 'rebuilds', transactional: true }, (_event, context: HandlerContext) =>
        handle(context),
      ),
    ],
  });
  const dead = nextSignal(worker.signals, 'delivery.dead');
  dead.catch(() => undefined); // Not all await it.
  await emitIn(worker, Placed, { n: 1 });
  return { worker, namespace, dead };
}
const rowsOf = (dataSource: DataSource, namespace: string) =>
  dataSource.query<Row[]>(
    `SELECT status, attempts, last_error FROM events_deliveries WHERE namespace = '${namespace}'`,
  );

describe('a transactional handler that commits its transaction', () => {
  it.each([
    ['and fails then', 'TRUNCATE projection', 'the rebuild failed'],
    ['by a statement that fails', 'CREATE TABLE projection (n int)', 'already exists'],
  ])('%s has failed: its completion is taken back', async (_how, sql, message) => {
    const { worker, namespace, dead } = await handleIn(async ({ manager }) => {
      await manager.query(sql);
      throw new Error('the rebuild failed');
    });
    expect(String((await dead).error)).toMatch(message);
    const [row, ...others] = await rowsOf(worker.dataSource, namespace);
    expect(others).toEqual([]);
    expect(row).toMatchObject({ status: 'dead', attempts: 2 });
    expect(row?.last_error).toMatch(/committed its transaction before the attempt failed/);
    expect(row?.last_error).toMatch(message);
    await balanced(worker);
  });

  it('and returns has failed too, because it was not all or nothing', async () => {
    const { worker, namespace, dead } = await handleIn(({ manager }) =>
      manager.query('TRUNCATE projection'),
    );
    expect((await dead).error).toBeInstanceOf(EventTransactionFailedError);
    expect(await rowsOf(worker.dataSource, namespace)).toMatchObject([
      { status: 'dead', attempts: 2 },
    ]);
    await balanced(worker);
  });

  it('once, is completed by the attempt that does not', async () => {
    const { worker, namespace } = await handleIn(async ({ manager, attempt }) => {
      if (attempt === 1) await manager.query('TRUNCATE projection');
    });
    const rows = await eventually(
      async () => {
        const [row] = await rowsOf(worker.dataSource, namespace);
        return row?.status === 'completed' && row.attempts === 2 ? row : undefined;
      },
      { what: 'the second attempt’s completion' },
    );
    expect(rows.last_error).toMatch(/ended this transaction/);
    await balanced(worker);
  });

  it('by a ROLLBACK of its own has failed like any other', async () => {
    const { worker, namespace, dead } = await handleIn(({ manager }) => manager.query('ROLLBACK'));
    expect((await dead).error).toBeInstanceOf(EventTransactionFailedError);
    expect(await rowsOf(worker.dataSource, namespace)).toMatchObject([
      { status: 'dead', attempts: 2 },
    ]);
    await balanced(worker);
  });
});

/** The ledger agrees with the deliveries. */
async function balanced(worker: TestApp): Promise<void> {
  const { ledger } = await worker.health.check();
  expect(ledger).toMatchObject({ difference: 0 });
}
