import { DataSource, type QueryRunner } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createStores } from '../../lib/store/create-store.js';
import { DEFAULT_TABLES, eventsMigrator } from '../../lib/store/migrations/migrator.js';
import { SqliteConnection } from '../../lib/store/sqlite/sqlite.connection.js';
import type { Store } from '../../lib/store/store.js';
import { appendMany, record, relayOnce } from '../contract/contract-context.js';

let dataSource: DataSource;
let store: Store;

beforeEach(async () => {
  dataSource = await new DataSource({
    type: 'better-sqlite3',
    database: ':memory:',
  }).initialize();
  await eventsMigrator.up(dataSource.createQueryRunner());
  store = createStores(
    dataSource,
    { namespace: 'default', tables: DEFAULT_TABLES },
    'tests',
  ).events;
  await store.prepare();
  await dataSource.query('CREATE TABLE orders (id INTEGER UNIQUE ON CONFLICT ROLLBACK)');
});
afterEach(() => dataSource.destroy());

const outbox = async () =>
  (await dataSource.query<unknown[]>('SELECT * FROM events_outbox')).length;

/** Of the application's; `ended` says whether it was over when something else came to pass. */
async function transaction(work: (runner: QueryRunner) => Promise<void>) {
  const runner = dataSource.createQueryRunner();
  await runner.startTransaction();
  await work(runner);
}

describe('one connection to SQLite, that all share', () => {
  it.each(['commit', 'rollback'] as const)(
    'A8: an operation waits for the %s of an open transaction, and takes no part in it',
    async (end) => {
      await transaction(async (runner) => {
        await runner.query('INSERT INTO orders VALUES (1)');
        let done = false;
        const appended = appendMany(store, 3).then(() => (done = true));
        // Each of these is an occasion to get into the transaction.
        for (let id = 2; id < 20; id++) await runner.query(`INSERT INTO orders VALUES (${id})`);
        expect(done).toBe(false);
        expect(await outbox()).toBe(0);
        await (end === 'commit' ? runner.commitTransaction() : runner.rollbackTransaction());
        await appended;
      });
      expect(await outbox()).toBe(3);
      const orders = await dataSource.query<unknown[]>('SELECT * FROM orders');
      expect(orders).toHaveLength(end === 'commit' ? 19 : 0);
    },
  );

  it('A8: operations get their turn between the transactions of a busy application', async () => {
    let id = 0;
    const application = async () => {
      for (let round = 0; round < 20; round++) {
        await dataSource.transaction(async (manager) => {
          await manager.query(`INSERT INTO orders VALUES (${++id})`);
          await store.append([record()], manager.queryRunner);
          await manager.query(`INSERT INTO orders VALUES (${++id})`);
        });
      }
    };
    const relay = async () => {
      let events = 0;
      for (let pass = 0; pass < 500 && events < 20; pass++) {
        events += (await relayOnce(store)).events.length;
        // To the end of the queue of what is ready to run: the application goes on.
        await new Promise((resolve) => setImmediate(resolve));
      }
      return events;
    };
    const [, relayed] = await Promise.all([application(), relay()]);
    expect(relayed).toBe(20);
    expect((await dataSource.query<unknown[]>('SELECT * FROM orders')).length).toBe(40);
  });

  it('an operation that is called within the transaction that it waits for says so', async () => {
    const connection = new SqliteConnection(dataSource, 50);
    await transaction(async (runner) => {
      const error: unknown = await connection
        .transaction((session) => session.all({ text: 'SELECT 1', values: [] }))
        .catch((caught: unknown) => caught);
      expect(error).toMatchObject({ message: expect.stringContaining('it waits for itself') });
      // It costs a delivery no attempt, and is no outage.
      expect(store.isInfrastructureError(error)).toBe(true);
      expect(store.isContention(error)).toBe(true);
      await runner.rollbackTransaction();
    });
    expect(dataSource.subscribers).toEqual([]);
  });

  it('an operation takes part in a transaction that the DataSource was made to hand out', async () => {
    await transaction(async (runner) => {
      const joined = Object.create(runner) as QueryRunner;
      dataSource.createQueryRunner = () => joined;
      await appendMany(store, 2);
      expect((await relayOnce(store)).events).toHaveLength(2);
      await expect(store.append([record({ version: 2 ** 40 })])).rejects.toThrow('CHECK');
      expect(runner.isTransactionActive).toBe(true);
      delete (dataSource as Partial<DataSource>).createQueryRunner;
      await runner.rollbackTransaction();
    });
    expect(await store.readEvents([1, 2])).toEqual([]);
  });

  it('A2: where SQLite has rolled back by itself, nothing is emitted alone, and the commit fails', async () => {
    await transaction(async (runner) => {
      await store.append([record()], runner);
      await runner.query('INSERT INTO orders VALUES (1)');
      expect(await store.isTransactionFailed(runner)).toBe(false);
      await expect(runner.query('INSERT INTO orders VALUES (1)')).rejects.toThrow('UNIQUE');
      expect(await store.isTransactionFailed(runner)).toBe(true);
      await expect(store.append([record()], runner)).rejects.toThrow(
        'rolled this transaction back',
      );
      await expect(runner.commitTransaction()).rejects.toThrow('no transaction is active');
    });
    expect(await outbox()).toBe(0);
  });

  it('a DataSource that was destroyed is out of reach', async () => {
    const other = await new DataSource({
      type: 'better-sqlite3',
      database: ':memory:',
    }).initialize();
    const gone = createStores(
      other,
      { namespace: 'default', tables: DEFAULT_TABLES },
      'tests',
    ).events;
    await other.destroy();
    const error: unknown = await gone.hasDue().catch((caught: unknown) => caught);
    expect(gone.isInfrastructureError(error)).toBe(true);
    expect(gone.connectionLoss(error)).toBe('ended');
    expect(gone.isInfrastructureError(error, 'handler')).toBe(false);
  });
});
