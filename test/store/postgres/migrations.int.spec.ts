import { randomBytes } from 'node:crypto';
import {
  CreateDurableEvents1763683200000,
  CreateEventQueue1763683200001,
  defineEvent,
  eventsMigrations,
  eventsMigrator,
  InvalidOptionsError,
  UnsupportedDatabaseError,
} from 'nestjs-durable-events';
import { DataSource, type DataSourceOptions, type QueryRunner } from 'typeorm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { emptyDatabase } from '../../support/emit-app.js';
import { startTestApp } from '../../support/test-app.js';

const TABLES = [
  'attempts',
  'deliveries',
  'handlers',
  'idempotency',
  'ledger',
  'log',
  'migrations',
  'operations',
  'outbox',
  'relay',
];

let database: TestDatabase;
let dataSource: DataSource;
let runner: QueryRunner;

beforeAll(async () => {
  database = await createTestDatabase();
  dataSource = await open();
});
beforeEach(() => {
  runner = dataSource.createQueryRunner();
});
afterEach(async () => {
  await runner.release();
  await emptyDatabase(dataSource);
});
afterAll(async () => {
  await dataSource.destroy();
  await database.drop();
});

function open(options: Partial<DataSourceOptions> = {}): Promise<DataSource> {
  const all = { type: 'postgres', url: database.url, ...options } as DataSourceOptions;
  return new DataSource(all).initialize();
}

/** Names of all tables in a schema. */
async function tablesIn(schema: string): Promise<string[]> {
  const rows = await dataSource.query<{ name: string }[]>(
    `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = $1 ORDER BY 1`,
    [schema],
  );
  return rows.map(({ name }) => name);
}

async function schemaExists(schema: string): Promise<boolean> {
  const [row] = await dataSource.query<{ found: boolean }[]>(
    'SELECT to_regnamespace($1) IS NOT NULL AS found',
    [schema],
  );
  return row?.found === true;
}

const prefixed = (prefix: string) => TABLES.map((table) => `${prefix}${table}`);

describe('eventsMigrator', () => {
  it('up and down can be asked twice without harm, and again', async () => {
    for (let round = 0; round < 2; round++) {
      await eventsMigrator.up(runner);
      expect(await tablesIn('public')).toEqual(prefixed('events_'));
      await runner.query(`INSERT INTO events_idempotency (namespace, key, event_id, created_at)
        VALUES ('default', 'kept', gen_random_uuid(), now())`);
      await eventsMigrator.up(runner);
      expect(await runner.query('SELECT key FROM events_idempotency')).toEqual([{ key: 'kept' }]);
      expect(await eventsMigrator.currentVersion(runner)).toBe(1);
      await eventsMigrator.down(runner);
      await eventsMigrator.down(runner);
      expect(await tablesIn('public')).toEqual([]);
      expect(await eventsMigrator.currentVersion(runner)).toBe(0);
    }
  });

  it('keeps one row per version, with the time of its application', async () => {
    await eventsMigrator.up(runner);
    await eventsMigrator.up(runner, { version: 1 });
    const rows = await dataSource.query<{ version: number; recent: boolean }[]>(
      `SELECT version, applied_at > clock_timestamp() - interval '1 minute' AS recent
        FROM events_migrations`,
    );
    expect(rows).toEqual([{ version: 1, recent: true }]);
  });

  it('goes with the transaction that it is called in', async () => {
    await runner.startTransaction();
    await eventsMigrator.up(runner);
    expect(await eventsMigrator.currentVersion(runner)).toBe(1);
    await runner.rollbackTransaction();
    expect(await tablesIn('public')).toEqual([]);
  });

  it('leaves nothing half-made if a statement fails', async () => {
    await runner.query('CREATE TABLE events_handlers (mine text)');
    await expect(eventsMigrator.up(runner)).rejects.toThrow('already exists');
    expect(await tablesIn('public')).toEqual(['events_handlers']);
    await runner.query('DROP TABLE events_handlers');
    await eventsMigrator.up(runner);
    expect(await tablesIn('public')).toEqual(prefixed('events_'));
  });

  it('uses a prefix and a schema of your own, which it creates', async () => {
    const own = { prefix: 'Bus_', schema: 'messaging' };
    await eventsMigrator.up(runner, own);
    await eventsMigrator.up(runner);
    expect(await tablesIn('messaging')).toEqual(prefixed('Bus_'));
    expect(await tablesIn('public')).toEqual(prefixed('events_'));
    expect(await eventsMigrator.currentVersion(runner, own)).toBe(1);
    await eventsMigrator.down(runner, own);
    expect(await tablesIn('messaging')).toEqual([]);
    expect(await tablesIn('public')).toEqual(prefixed('events_'));
  });

  it('down and currentVersion make nothing where nothing is', async () => {
    const own = { schema: 'nowhere' };
    expect(await eventsMigrator.currentVersion(runner, own)).toBe(0);
    await eventsMigrator.down(runner, own);
    expect(await schemaExists('nowhere')).toBe(false);
  });

  it('refuses prefixes and schemas outside the allow-list', async () => {
    await expect(eventsMigrator.up(runner, { prefix: 'a"; --' })).rejects.toThrow(
      InvalidOptionsError,
    );
    await expect(eventsMigrator.down(runner, { schema: 'a b' })).rejects.toThrow(
      InvalidOptionsError,
    );
  });

  it.each([2, 99, -1, 1.5])('refuses version %d, which does not exist', async (version) => {
    await expect(eventsMigrator.up(runner, { version })).rejects.toThrow(InvalidOptionsError);
    await expect(eventsMigrator.down(runner, { version })).rejects.toThrow(InvalidOptionsError);
    expect(await tablesIn('public')).toEqual([]);
  });

  it('needs no right to create schemas where the schema is there', async () => {
    const role = `events_test_${randomBytes(6).toString('hex')}`;
    await dataSource.query(`CREATE ROLE ${role}`);
    const restricted = await open({ extra: { options: `-c role=${role}` } });
    const restrictedRunner = restricted.createQueryRunner();
    try {
      await dataSource.query(`CREATE SCHEMA messaging AUTHORIZATION ${role}`);
      await eventsMigrator.up(restrictedRunner, { schema: 'messaging' });
      expect(await tablesIn('messaging')).toEqual(prefixed('events_'));
    } finally {
      await restrictedRunner.release();
      await restricted.destroy();
      await dataSource.query(`DROP OWNED BY ${role}`);
      await dataSource.query(`DROP ROLE ${role}`);
    }
  });

  it('refuses databases that are not supported', async () => {
    const other = { dataSource: { options: { type: 'sap' } } } as unknown as QueryRunner;
    await expect((async () => eventsMigrator.up(other))()).rejects.toThrow(
      UnsupportedDatabaseError,
    );
  });
});

describe('the migration classes', () => {
  let migrated: DataSource;
  afterEach(() => migrated.destroy());

  it.each(['all', 'each', 'none'] as const)(
    'are run and undone by TypeORM, with transaction: %s',
    async (transaction) => {
      migrated = await open({
        migrations: [CreateDurableEvents1763683200000, CreateEventQueue1763683200001],
      });
      const ran = await migrated.runMigrations({ transaction });
      expect(ran.map(({ name, timestamp }) => [name, timestamp])).toEqual([
        ['CreateDurableEvents1763683200000', 1_763_683_200_000],
        ['CreateEventQueue1763683200001', 1_763_683_200_001],
      ]);
      expect(await tablesIn('public')).toEqual([...prefixed('events_'), 'migrations']);
      expect(await tablesIn('bullmq')).not.toEqual([]);
      expect(await migrated.runMigrations({ transaction })).toEqual([]);
      await migrated.undoLastMigration({ transaction });
      await migrated.undoLastMigration({ transaction });
      expect(await tablesIn('public')).toEqual(['migrations']);
      await migrated.runMigrations({ transaction });
      expect(await tablesIn('public')).toEqual([...prefixed('events_'), 'migrations']);
    },
  );

  it('take over tables that a boot has made', async () => {
    const app = await startTestApp({ url: database.url, events: { workers: { enabled: false } } });
    await app.close();
    migrated = await open({ migrations: eventsMigrations() });
    await migrated.runMigrations();
    expect(await eventsMigrator.currentVersion(runner)).toBe(1);
  });

  it('make what a boot in production needs, with a prefix and a schema of one’s own', async () => {
    const tables = { prefix: 'bus_', schema: 'messaging' };
    migrated = await open({
      migrations: [...eventsMigrations(tables), CreateEventQueue1763683200001],
    });
    await migrated.runMigrations();
    expect(await tablesIn('messaging')).toEqual(prefixed('bus_'));
    const app = await startTestApp({
      url: database.url,
      events: { tables, migrate: false, standalone: 'allow' },
    });
    try {
      const { eventId } = await app.bus.emit(defineEvent('order.placed'), {});
      expect(await app.log.get(eventId)).toMatchObject({ eventId });
    } finally {
      await app.close();
    }
    expect(await tablesIn('public')).toEqual(['migrations']);
    await migrated.undoLastMigration();
    await migrated.undoLastMigration();
    expect(await tablesIn('messaging')).toEqual([]);
  });
});
