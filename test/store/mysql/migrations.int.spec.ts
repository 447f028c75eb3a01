import {
  CreateDurableEvents1763683200000,
  CreateEventQueue1763683200001,
  eventsMigrations,
  eventsMigrator,
  EventsSchemaOutdatedError,
  InvalidOptionsError,
  UnsupportedDatabaseError,
} from 'nestjs-durable-events';
import { DataSource, type DataSourceOptions, type QueryRunner } from 'typeorm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createMariadbDatabase, type TestDatabase } from '../../support/database.js';
import { emitOnly } from '../../support/emit-app.js';
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
const prefixed = (prefix: string) => TABLES.map((table) => `${prefix}${table}`);

let server: TestDatabase;
let admin: DataSource;
let database: TestDatabase;
let dataSource: DataSource;
let runner: QueryRunner;

beforeAll(async () => {
  server = await createMariadbDatabase();
  admin = await open(server.url);
});
beforeEach(async () => {
  database = await createMariadbDatabase();
  dataSource = await open(database.url);
  runner = dataSource.createQueryRunner();
});
afterEach(async () => {
  await runner.release();
  await dataSource.destroy();
  await database.drop();
});
afterAll(async () => {
  await admin.destroy();
  await server.drop();
});

function open(url: string, options: Partial<DataSourceOptions> = {}): Promise<DataSource> {
  return new DataSource({ type: 'mysql', url, ...options } as DataSourceOptions).initialize();
}

async function tablesIn(schema: string): Promise<string[]> {
  const rows = await admin.query<{ name: string }[]>(
    `SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? ORDER BY 1`,
    [schema],
  );
  return rows.map(({ name }) => name);
}

describe('eventsMigrator on MariaDB', () => {
  it('up and down can be asked twice without harm, and again', async () => {
    for (let round = 0; round < 2; round++) {
      await eventsMigrator.up(runner);
      expect(await tablesIn(database.name)).toEqual(prefixed('events_'));
      await runner.query(`INSERT INTO events_idempotency (namespace, \`key\`, event_id, created_at)
        VALUES ('default', 'kept', UUID(), UTC_TIMESTAMP())`);
      await eventsMigrator.up(runner);
      expect(await runner.query('SELECT `key` FROM events_idempotency')).toEqual([{ key: 'kept' }]);
      expect(await eventsMigrator.currentVersion(runner)).toBe(1);
      await eventsMigrator.down(runner);
      await eventsMigrator.down(runner);
      expect(await tablesIn(database.name)).toEqual([]);
      expect(await eventsMigrator.currentVersion(runner)).toBe(0);
    }
  });

  it('goes on where an interrupted one stopped, up and down', async () => {
    await eventsMigrator.up(runner);
    await runner.query('DROP TABLE events_relay, events_handlers');
    await runner.query('DELETE FROM events_migrations');
    expect(await eventsMigrator.currentVersion(runner)).toBe(0);
    await eventsMigrator.up(runner);
    expect(await tablesIn(database.name)).toEqual(prefixed('events_'));

    await runner.query('DROP TABLE events_relay, events_handlers');
    await runner.query('DELETE FROM events_migrations');
    await eventsMigrator.down(runner);
    expect(await tablesIn(database.name)).toEqual([]);
  });

  it('C24: several at once wait for each other', async () => {
    const others = await Promise.all(Array.from({ length: 4 }, () => open(database.url)));
    await Promise.all(others.map((other) => eventsMigrator.up(other.createQueryRunner())));
    for (const other of others) await other.destroy();
    expect(await tablesIn(database.name)).toEqual(prefixed('events_'));
    expect(await runner.query('SELECT version FROM events_migrations')).toEqual([{ version: 1 }]);
  });

  it('refuses a table of somebody else’s that has the name of one of ours', async () => {
    await runner.query('CREATE TABLE events_handlers (mine text)');
    const up = eventsMigrator.up(runner);
    await expect(up).rejects.toBeInstanceOf(InvalidOptionsError);
    await expect(up).rejects.toThrow('"events_handlers"');
    expect(await tablesIn(database.name)).toEqual(['events_handlers']);
    await eventsMigrator.up(runner, { prefix: 'bus_' });
    expect(await tablesIn(database.name)).toEqual([...prefixed('bus_'), 'events_handlers']);
  });

  it('uses a prefix and a database of your own, which it creates', async () => {
    const own = { prefix: 'Bus_', schema: `${database.name}_messaging` };
    try {
      await eventsMigrator.up(runner, own);
      await eventsMigrator.up(runner);
      expect((await tablesIn(own.schema)).map((name) => name.toLowerCase())).toEqual(
        prefixed('bus_'),
      );
      expect(await tablesIn(database.name)).toEqual(prefixed('events_'));
      expect(await eventsMigrator.currentVersion(runner, own)).toBe(1);
      await eventsMigrator.down(runner, own);
      expect(await tablesIn(own.schema)).toEqual([]);
      expect(await tablesIn(database.name)).toEqual(prefixed('events_'));
    } finally {
      await admin.query(`DROP DATABASE IF EXISTS ${own.schema}`);
    }
  });

  it('down and currentVersion make nothing where nothing is', async () => {
    const own = { schema: `${database.name}_nowhere` };
    expect(await eventsMigrator.currentVersion(runner, own)).toBe(0);
    await eventsMigrator.down(runner, own);
    expect(await admin.query('SHOW DATABASES LIKE ?', [own.schema])).toEqual([]);
  });

  it('makes the same tables whatever the database’s and the session’s defaults are', async () => {
    await runner.query(`SET SESSION sql_mode = 'ANSI_QUOTES', default_storage_engine = 'MyISAM'`);
    await runner.query(`ALTER DATABASE CHARACTER SET latin1`);
    await eventsMigrator.up(runner);
    const rows = (await runner.query(
      `SELECT DISTINCT ENGINE AS engine, ROW_FORMAT AS format FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME <> 'events_migrations'`,
    )) as unknown[];
    expect(rows).toEqual([{ engine: 'InnoDB', format: 'Dynamic' }]);
    const [column] = (await runner.query(
      `SELECT COLLATION_NAME AS collation FROM information_schema.COLUMNS
        WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'events_log' AND COLUMN_NAME = 'entity_id'`,
    )) as unknown[];
    expect(column).toEqual({ collation: 'utf8mb4_nopad_bin' });
  });
});

describe('the migration classes on MariaDB', () => {
  it.each(['all', 'each', 'none'] as const)(
    'are run and undone by TypeORM, with transaction: %s',
    async (transaction) => {
      const migrated = await open(database.url, {
        migrations: [CreateDurableEvents1763683200000],
      });
      await migrated.runMigrations({ transaction });
      expect(await tablesIn(database.name)).toEqual([...prefixed('events_'), 'migrations']);
      expect(await migrated.runMigrations({ transaction })).toEqual([]);
      await migrated.undoLastMigration({ transaction });
      expect(await tablesIn(database.name)).toEqual(['migrations']);
      await migrated.destroy();
    },
  );

  it('make what a boot in production needs', async () => {
    const boot = () =>
      startTestApp({
        url: database.url,
        events: emitOnly({ migrate: false }),
        dataSource: { type: 'mysql' },
      });
    await expect(boot()).rejects.toBeInstanceOf(EventsSchemaOutdatedError);
    expect(await tablesIn(database.name)).toEqual([]);
    const migrated = await open(database.url, { migrations: eventsMigrations() });
    await migrated.runMigrations();
    await migrated.destroy();
    await (await boot()).close();
  });
});

describe('the migration of the queue', () => {
  it('says that it is not for this database, and what to do', async () => {
    const migration = new CreateEventQueue1763683200001().up(runner);
    await expect(migration).rejects.toBeInstanceOf(UnsupportedDatabaseError);
    await expect(migration).rejects.toThrow(/"mysql".*need PostgreSQL.*Take it out/);
  });
});
