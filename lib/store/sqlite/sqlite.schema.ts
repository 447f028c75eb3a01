import type { QueryRunner } from 'typeorm';
import { InvalidOptionsError } from '../../errors.js';
import type { SchemaDialect } from '../dialect.js';
import type { Tables } from '../tables.js';
import { createTables, dropTables } from './schema.sql.js';
import { NOW } from './sql-text.js';

/** SQLite undoes changes of tables as all others: a migration is one transaction. */
export const sqliteSchema: SchemaDialect = {
  versions: [{ up: createTables, down: dropTables }],
  now: NOW,

  async exclusively(runner, apply) {
    if (runner.isTransactionActive) return apply();
    await runner.startTransaction();
    try {
      await apply();
      await runner.commitTransaction();
    } catch (error) {
      if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined);
      throw error;
    }
  },

  async ensureMigrationsTable(runner, tables) {
    refuseSchema(tables);
    await runner.query(`CREATE TABLE IF NOT EXISTS ${tables.migrations} (
      version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT`);
  },

  async hasMigrationsTable(runner: QueryRunner, tables) {
    refuseSchema(tables);
    const rows = (await runner.query(
      `SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '${tables.prefix}migrations'`,
    )) as unknown[];
    return rows.length > 0;
  },
};

function refuseSchema({ schema }: Tables): void {
  if (schema === undefined) return;
  throw new InvalidOptionsError(
    'tables.schema',
    `is "${schema}", but SQLite has no schemas. Leave it out.`,
  );
}
