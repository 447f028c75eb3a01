import type { QueryRunner } from 'typeorm';
import type { SchemaDialect } from '../dialect.js';
import { createTables, dropTables } from './schema.sql.js';

/** PostgreSQL undoes changes of tables as all others: a migration is one transaction. */
export const postgresSchema: SchemaDialect = {
  versions: [{ up: createTables, down: dropTables }],
  now: 'clock_timestamp()',

  async exclusively(runner, apply) {
    if (runner.isTransactionActive) return locked(runner, apply);
    await runner.startTransaction('READ COMMITTED');
    try {
      await locked(runner, apply);
      await runner.commitTransaction();
    } catch (error) {
      if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined);
      throw error;
    }
  },

  async ensureMigrationsTable(runner, tables) {
    if (tables.schema !== undefined) {
      const schema = runner.dataSource.driver.escape(tables.schema);
      // Not IF NOT EXISTS: that asks for the right to create schemas also where there is nothing to do.
      if (!(await exists(runner, 'regnamespace', schema))) {
        await runner.query(`CREATE SCHEMA ${schema}`);
      }
    }
    await runner.query(`CREATE TABLE IF NOT EXISTS ${tables.migrations} (
      version integer PRIMARY KEY, applied_at timestamptz NOT NULL)`);
  },

  hasMigrationsTable: (runner, tables) => exists(runner, 'regclass', tables.migrations),
};

/** One lock for all prefixes: those of one schema may all be about to create it. */
async function locked(runner: QueryRunner, apply: () => Promise<void>): Promise<void> {
  await runner.query(`SELECT pg_advisory_xact_lock(hashtextextended('nestjs-durable-events', 0))`);
  await apply();
}

async function exists(
  runner: QueryRunner,
  kind: 'regclass' | 'regnamespace',
  quotedName: string,
): Promise<boolean> {
  const [found] = (await runner.query(`SELECT to_${kind}($1) IS NOT NULL AS present`, [
    quotedName,
  ])) as { present: boolean }[];
  return found?.present === true;
}
