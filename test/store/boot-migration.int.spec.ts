import { EventsSchemaOutdatedError, type EventsModuleOptions } from 'nestjs-durable-events';
import type { DataSource } from 'typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { openDataSource } from '../support/data-source.js';
import { onPostgres, sql } from '../support/database.js';
import { emitOnly, emptyDatabase } from '../support/emit-app.js';
import {
  createTestBackends,
  startTestApp,
  type TestApp,
  type TestBackends,
} from '../support/test-app.js';

let backends: TestBackends;
let dataSource: DataSource;

beforeAll(async () => {
  backends = await createTestBackends();
  dataSource = await openDataSource(backends.database.url);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await emptyDatabase(dataSource);
});
afterAll(async () => {
  await dataSource.destroy();
  await backends.drop();
});

/** Boots; returns the error if that fails. */
async function boot(events: EventsModuleOptions): Promise<TestApp | Error> {
  try {
    return await startTestApp({ url: backends.database.url, events });
  } catch (error) {
    return error as Error;
  }
}

async function bootAndClose(events: EventsModuleOptions): Promise<Error | undefined> {
  const app = await boot(events);
  if (app instanceof Error) return app;
  await app.close();
  return undefined;
}

const versions = (table = 'events_migrations') =>
  dataSource.query<{ version: number }[]>(`SELECT version FROM ${table} ORDER BY version`);
/** On MariaDB a schema is a database: the server has one of each name. */
const ownSchema = (name: string) => `${backends.database.name}_${name}`;

describe('boots at once on an empty database', () => {
  /** Boots five applications at once; returns what failed. */
  async function bootFive(options: (index: number) => EventsModuleOptions): Promise<Error[]> {
    const apps = await Promise.all(
      Array.from({ length: 5 }, (_, index) => boot({ queue: backends.redis, ...options(index) })),
    );
    const failed = apps.filter((app) => app instanceof Error);
    for (const app of apps) if (!(app instanceof Error)) await app.close();
    return failed;
  }

  it('C24: all succeed, and each version is applied once', async () => {
    for (let round = 0; round < 3; round++) {
      expect(await bootFive(() => ({}))).toEqual([]);
      expect(await versions()).toEqual([{ version: 1 }]);
      await emptyDatabase(dataSource);
    }
  });

  it('C24: the same with a schema of one’s own', async () => {
    const schema = ownSchema('messaging');
    expect(await bootFive(() => ({ tables: { schema } }))).toEqual([]);
    expect(await versions(`${schema}.events_migrations`)).toEqual([{ version: 1 }]);
  });

  it('C24: the same with different prefixes in one schema', async () => {
    for (let round = 0; round < 3; round++) {
      const tables = (index: number) => ({
        schema: ownSchema(`messaging${round}`),
        prefix: `bus${index}_`,
      });
      expect(await bootFive((index) => ({ tables: tables(index) }))).toEqual([]);
    }
  });

  it.runIf(onPostgres)('C24: the same with the queue in the same database', async () => {
    const failed = await bootFive(() => ({ queue: backends.postgres }));
    expect(failed).toEqual([]);
    expect(await versions()).toEqual([{ version: 1 }]);
  });
});

describe('a boot that may not migrate', () => {
  const production: [string, () => EventsModuleOptions][] = [
    [
      'NODE_ENV=production',
      () => {
        vi.stubEnv('NODE_ENV', 'production');
        return {};
      },
    ],
    ['migrate: false', () => ({ migrate: false })],
  ];

  it.each(production)(
    'stops without tables and says how to make them (%s)',
    async (_how, options) => {
      const error = await bootAndClose({ queue: backends.redis, ...options() });
      expect(error).toBeInstanceOf(EventsSchemaOutdatedError);
      expect(error).toMatchObject({ foundVersion: 0, neededVersion: 1 });
      expect(error?.message).toContain('CreateDurableEvents1763683200000');
      expect(error?.message).toContain('migration:run');
      expect(error?.message).toContain('migrate: true');
      const made = await dataSource.sql<unknown[]>`
        SELECT 1 FROM information_schema.tables
        WHERE ${backends.database.name} IN (table_catalog, table_schema)
          AND table_name LIKE 'events%'`;
      expect(made).toEqual([]);
    },
  );

  it.each(production)('goes on where the tables are there (%s)', async (_how, options) => {
    expect(await bootAndClose({ queue: backends.redis })).toBeUndefined();
    expect(await bootAndClose({ queue: backends.redis, ...options() })).toBeUndefined();
  });

  it.runIf(onPostgres)(
    'stops without the queue’s tables too, where the queue is in PostgreSQL',
    async () => {
      expect(await bootAndClose({ queue: backends.redis })).toBeUndefined();
      const error = await bootAndClose({ queue: backends.postgres, migrate: false });
      expect(error).toBeInstanceOf(EventsSchemaOutdatedError);
      expect(error?.message).toContain('CreateEventQueue1763683200001');
    },
  );

  it('migrates in production if told to', async () => {
    vi.stubEnv('NODE_ENV', 'production');
    expect(await bootAndClose({ queue: backends.redis, migrate: true })).toBeUndefined();
    expect(await versions()).toEqual([{ version: 1 }]);
  });

  it('looks where the options say: another prefix or schema is not there', async () => {
    expect(await bootAndClose({ queue: backends.redis })).toBeUndefined();
    for (const tables of [{ prefix: 'other_' }, { schema: ownSchema('nowhere') }]) {
      expect(await bootAndClose({ queue: backends.redis, migrate: false, tables })).toBeInstanceOf(
        EventsSchemaOutdatedError,
      );
    }
  });

  it('stops a process that only emits too', async () => {
    expect(await bootAndClose(emitOnly({ migrate: false }))).toBeInstanceOf(
      EventsSchemaOutdatedError,
    );
  });
});

it.each([
  ['a column', 'ALTER TABLE events_ledger DROP COLUMN unhandled', 'unhandled'],
  ['a table', 'DROP TABLE events_attempts', 'events_attempts'],
])(
  'tables of a version that was never released, without %s, stop the boot',
  async (_what, damage, name) => {
    expect(await bootAndClose({ queue: backends.redis })).toBeUndefined();
    await dataSource.query(damage);
    for (const migrate of [true, false]) {
      const error = await bootAndClose({ queue: backends.redis, migrate });
      expect(error).toBeInstanceOf(EventsSchemaOutdatedError);
      expect(error).toMatchObject({ foundVersion: 1, neededVersion: 1 });
      expect(error?.message).toContain(name);
    }
  },
);

it('a database of a newer release is left as it is, during a rolling deploy', async () => {
  expect(await bootAndClose({ queue: backends.redis })).toBeUndefined();
  await dataSource.query(`INSERT INTO events_migrations VALUES (2, ${sql.now})`);
  expect(await bootAndClose({ queue: backends.redis })).toBeUndefined();
  expect(await bootAndClose({ queue: backends.redis, migrate: false })).toBeUndefined();
  expect(await versions()).toEqual([{ version: 1 }, { version: 2 }]);
});
