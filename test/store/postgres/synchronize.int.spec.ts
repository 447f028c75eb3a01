import { defineEvent } from 'nestjs-durable-events';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openDataSource } from '../../support/data-source.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { emptyDatabase, Order } from '../../support/emit-app.js';
import { startTestApp } from '../../support/test-app.js';

const OrderPlaced = defineEvent<string>('order.placed');

let database: TestDatabase;
let admin: DataSource;
beforeAll(async () => {
  database = await createTestDatabase();
  admin = await openDataSource(database.url);
});
afterEach(() => emptyDatabase(admin));
afterAll(async () => {
  await admin.destroy();
  await database.drop();
});

/** Everything in the database that is ours: columns, indexes, constraints, defaults, options. */
async function structure(dataSource: DataSource, prefix: string): Promise<unknown[]> {
  return dataSource.query<unknown[]>(
    `SELECT 'column' AS kind, table_schema || '.' || table_name || '.' || column_name AS name,
        concat_ws(' ', data_type, is_nullable, column_default, is_identity) AS definition
      FROM information_schema.columns WHERE table_name LIKE $1
    UNION ALL
    SELECT 'index', schemaname || '.' || indexname, indexdef FROM pg_indexes WHERE tablename LIKE $1
    UNION ALL
    SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
      FROM pg_constraint WHERE conrelid::regclass::text LIKE '%' || $1
    UNION ALL
    SELECT 'table', oid::regclass::text, array_to_string(reloptions, ',')
      FROM pg_class WHERE relkind = 'r' AND relname LIKE $1
    ORDER BY 1, 2`,
    [`${prefix}%`],
  );
}

describe.each<[string, { prefix: string; schema?: string }]>([
  ['in the application’s schema', { prefix: 'events_' }],
  ['with a prefix and a schema of their own', { prefix: 'bus_', schema: 'messaging' }],
])('our tables %s', (_where, tables) => {
  const dataSource = { synchronize: true, entities: [Order] } as Partial<DataSourceOptions>;
  const start = (more: Partial<DataSourceOptions> = {}) =>
    startTestApp({
      url: database.url,
      events: {
        tables,
        standalone: 'allow',
        relay: { enabled: false },
        workers: { enabled: false },
      },
      dataSource: { ...dataSource, ...more } as Partial<DataSourceOptions>,
    });

  it('C23: the application’s synchronize leaves them alone, when they are made and ever after', async () => {
    const first = await start();
    const { eventId } = await first.bus.emit(OrderPlaced, 'o1');
    const made = await structure(first.dataSource, tables.prefix);
    await first.close();
    expect(new Set(made.map((each) => (each as { kind: string }).kind))).toEqual(
      new Set(['column', 'index', 'constraint', 'table']),
    );

    const second = await start();
    expect(await structure(second.dataSource, tables.prefix)).toEqual(made);
    expect(await second.log.get(eventId)).toMatchObject({ eventId, data: 'o1' });
    await second.dataSource.synchronize();
    expect(await structure(second.dataSource, tables.prefix)).toEqual(made);
    await second.close();

    // The same where TypeORM is told to look at our schema too.
    const third = await start(tables.schema === undefined ? {} : { schema: tables.schema });
    expect(await structure(third.dataSource, tables.prefix)).toEqual(made);
    await third.close();
  });

  it('C23: a migration that TypeORM would generate does not touch them', async () => {
    const app = await start();
    const log = await app.dataSource.driver.createSchemaBuilder().log();
    expect(log.upQueries.map(({ query }) => query)).toEqual([]);
    await app.close();
  });
});
