import { DataSource, type DataSourceOptions } from 'typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createStores } from '../../../lib/store/create-store.js';
import type { EventStore } from '../../../lib/store/event-store.js';
import { DEFAULT_TABLES, eventsMigrator } from '../../../lib/store/migrations/migrator.js';
import { MysqlConnection } from '../../../lib/store/mysql/mysql.connection.js';
import { appendMany, handler, LIMITS, relayOnce } from '../../contract/contract-context.js';
import { createMariadbDatabase, type TestDatabase } from '../../support/database.js';
import { QueryRecorder } from '../../support/emit-app.js';
import { mariadbSql } from '../../support/sql/mariadb.js';
import { eventually } from '../../support/wait.js';

const SESSION = `SELECT @@SESSION.innodb_lock_wait_timeout AS lock_wait, @@SESSION.lock_wait_timeout AS table_wait,
  @@SESSION.wait_timeout AS idle, @@SESSION.max_statement_time AS statement`;

let database: TestDatabase;
const opened: DataSource[] = [];

beforeAll(async () => {
  database = await createMariadbDatabase();
  const dataSource = await open();
  await eventsMigrator.up(dataSource.createQueryRunner());
});
afterEach(async () => {
  for (const dataSource of opened.splice(0)) await dataSource.destroy();
});
afterAll(() => database.drop());

async function open(options: Partial<DataSourceOptions> = {}): Promise<DataSource> {
  const all = { type: 'mysql', url: database.url, ...options } as DataSourceOptions;
  const dataSource = await new DataSource(all).initialize();
  opened.push(dataSource);
  return dataSource;
}

async function storeOn(dataSource: DataSource, namespace: string): Promise<EventStore> {
  const store = createStores(dataSource, { namespace, tables: DEFAULT_TABLES }).events;
  await store.prepare();
  return store;
}

describe('C9: the limits of a relay’s session', () => {
  const numbers = (rows: Record<string, unknown>[]) =>
    Object.fromEntries(Object.entries(rows[0] ?? {}).map(([name, value]) => [name, Number(value)]));

  it('hold in its transaction, and are what they were afterwards', async () => {
    const dataSource = await open({ poolSize: 1 });
    await dataSource.query(
      `SET SESSION innodb_lock_wait_timeout = 77, lock_wait_timeout = 78, wait_timeout = 79,
        max_statement_time = 1.5`,
    );
    const own = { lock_wait: 77, table_wait: 78, idle: 79, statement: 1.5 };
    const connection = new MysqlConnection(dataSource);
    const within = await connection.limitedTransaction((runner) => runner.query(SESSION));
    expect(numbers(within as Record<string, unknown>[])).toEqual({
      lock_wait: 10,
      table_wait: 10,
      idle: 10,
      statement: 30,
    });
    expect(numbers(await dataSource.query(SESSION))).toEqual(own);
    const failing = connection.limitedTransaction(() => Promise.reject(new Error('midway')));
    await expect(failing).rejects.toThrow('midway');
    expect(numbers(await dataSource.query(SESSION))).toEqual(own);
  });

  it('are set for a pass, and for nothing else', async () => {
    const recorder = new QueryRecorder();
    const dataSource = await open(recorder.options);
    const store = await storeOn(dataSource, 'recorded');
    recorder.start();
    await appendMany(store, 1);
    await store.hasDue();
    expect(recorder.matching(/SET SESSION (innodb|max|wait|lock)/)).toEqual([]);
    await relayOnce(store);
    expect(recorder.matching(/SET SESSION innodb/)).toHaveLength(2);
  });
});

describe('a deadlock of the library’s own transaction', () => {
  it('is no error: it is run again', async () => {
    const recorder = new QueryRecorder();
    const dataSource = await open(recorder.options);
    const store = await storeOn(dataSource, 'deadlocks');
    await store.registerHandlers([handler('mails')]);
    await appendMany(store, 100);
    await relayOnce(store, LIMITS);
    const lock = (position: string) =>
      `UPDATE events_deliveries SET epoch = 0, last_error = 'x'
        WHERE namespace = 'deadlocks' AND position ${position}`;
    const runner = dataSource.createQueryRunner();
    await runner.startTransaction('READ COMMITTED');
    // The heavier one of two survives.
    await runner.query(lock('> 1'));
    recorder.start();
    const refs = [1, 2].map((position) => ({ position, handler: 'mails', epoch: 0 }));
    const completed = store.complete(refs);
    await eventually(async () => (await mariadbSql.lockWaits(dataSource)).length > 0, {
      what: 'the completion has the first delivery, and waits for the second',
    });
    await runner.query(lock('= 1'));
    await runner.commitTransaction();
    await runner.release();
    expect(await completed).toEqual([true, true]);
    expect(recorder.matching(/START TRANSACTION/).length).toBeGreaterThan(1);
  });

  it('is one if it comes again and again: a bounded number of times', async () => {
    const dataSource = await open();
    let times = 0;
    const always = new MysqlConnection(dataSource).transaction(() => {
      times++;
      return Promise.reject(Object.assign(new Error('deadlock'), { errno: 1213 }));
    });
    await expect(always).rejects.toThrow('deadlock');
    expect(times).toBe(6);
  });
});
