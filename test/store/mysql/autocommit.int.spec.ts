import { DataSource } from 'typeorm';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStores } from '../../../lib/store/create-store.js';
import { currentVersion, DEFAULT_TABLES, up } from '../../../lib/store/migrations/migrator.js';
import { handler, LIMITS, record } from '../../contract/contract-context.js';
import { createMariadbDatabase, type TestDatabase } from '../../support/database.js';

interface Pool {
  on(event: 'connection', listener: (connection: { query(sql: string): void }) => void): void;
}

/** Without a connection yet, but that whose session was asked for the server's version. */
async function openManual(url: string, poolSize = 10): Promise<DataSource> {
  const dataSource = await new DataSource({ type: 'mysql', url, poolSize }).initialize();
  const { pool } = dataSource.driver as unknown as { pool: Pool };
  pool.on('connection', (connection) => connection.query('SET SESSION autocommit = 0'));
  await dataSource.query('SET SESSION autocommit = 0');
  return dataSource;
}

let database: TestDatabase;
/** As most applications are. */
let plain: DataSource;
beforeAll(async () => {
  database = await createMariadbDatabase();
  plain = await new DataSource({ type: 'mysql', url: database.url }).initialize();
});
afterAll(async () => {
  await plain.destroy();
  await database.drop();
});

it('sessions that start with autocommit = 0: the migration is complete', async () => {
  const dataSource = await openManual(database.url);
  await up(dataSource.createQueryRunner());
  await dataSource.destroy();
  expect(await currentVersion(plain.createQueryRunner())).toBe(1);
});

it('sessions that start with autocommit = 0: all writes are saved, and reads are of now', async () => {
  const options = { namespace: 'manual', tables: DEFAULT_TABLES };
  // One connection: whatever is left open on it is met by the next operation.
  const dataSource = await openManual(database.url, 1);
  const manual = createStores(dataSource, options).events;
  const other = createStores(plain, options).events;
  await other.prepare();
  await manual.prepare();
  expect(await manual.hasDue()).toBe(false);
  await other.append([record()]);
  expect(await manual.hasDue()).toBe(true);
  await manual.registerHandlers([handler('mails')]);
  expect((await other.handlers()).map(({ id }) => id)).toEqual(['mails']);
  // What the application leaves open.
  await dataSource.query('SELECT * FROM events_log');
  expect(await manual.relay(LIMITS)).toMatchObject({ events: [{ position: 1 }] });
  const ref = { position: 1, handler: 'mails', epoch: 0 };
  const rescueAt = () =>
    plain.query<{ at: Date }[]>(`SELECT rescue_at AS at FROM events_deliveries`);
  const before = await rescueAt();
  await manual.unrescue([ref], 3_600_000);
  expect(await rescueAt()).not.toEqual(before);
  expect(await manual.deliveryStates([ref])).toMatchObject([{ status: 'queued' }]);
  expect(await other.complete([ref])).toEqual([true]);
  expect(await manual.deliveryStates([ref])).toMatchObject([{ status: 'completed' }]);
  await dataSource.destroy();
});
