import type { QueryRunner } from 'typeorm';
import { InvalidOptionsError, UnsupportedDatabaseError } from '../../errors.js';
import type { SchemaDialect } from '../dialect.js';
import type { Tables } from '../tables.js';
import { execute } from './mysql.connection.js';
import { createTables, dropTables, ownTables, TABLE_COMMENT } from './schema.sql.js';

/** Of the server, not of a database: one lock for all prefixes and databases. Migrations are short. */
const LOCK = 'nestjs-durable-events';
const LOCK_SECONDS = 120;

/** By bytes, trailing spaces included: MariaDB's name for it, and MySQL's. */
const COLLATIONS = ['utf8mb4_nopad_bin', 'utf8mb4_0900_bin'];

/** MySQL and MariaDB commit before and after each change of a table: every statement may be repeated. */
export const mysqlSchema: SchemaDialect = {
  versions: [
    {
      up: async (tables, runner) => createTables(tables, await collation(runner)),
      down: dropTables,
    },
  ],
  now: 'UTC_TIMESTAMP(6)',

  async exclusively(runner, apply) {
    const [row] = await execute<{ got: unknown }>(runner, {
      text: 'SELECT GET_LOCK(?, ?) AS got',
      values: [LOCK, LOCK_SECONDS],
    });
    if (Number(row?.got) !== 1) {
      throw new Error(
        `Another process has been migrating a database of this server for ${LOCK_SECONDS} seconds ` +
          `(lock "${LOCK}"): try again, or end its session.`,
      );
    }
    try {
      await apply();
      // For sessions that don't commit by themselves.
      if (!runner.isTransactionActive) await runner.query('COMMIT');
    } finally {
      // On a connection that was lost, the lock is free already.
      await runner.query(`SELECT RELEASE_LOCK('${LOCK}')`).catch(() => undefined);
    }
  },

  async ensureMigrationsTable(runner, tables) {
    if (tables.schema !== undefined) await ensureDatabase(runner, tables.schema);
    await refuseStrangers(runner, tables);
    await runner.query(`CREATE TABLE IF NOT EXISTS ${tables.migrations} (
      version int NOT NULL PRIMARY KEY, applied_at datetime(6) NOT NULL)
      ENGINE=InnoDB COMMENT='${TABLE_COMMENT}'`);
  },

  async hasMigrationsTable(runner, tables) {
    return (await comments(runner, tables, [tables.migrations])).length > 0;
  },
};

async function collation(runner: QueryRunner): Promise<string> {
  const rows = await execute<{ name: string }>(runner, {
    text: `SELECT COLLATION_NAME AS name FROM information_schema.COLLATIONS
      WHERE COLLATION_NAME IN (?)`,
    values: [COLLATIONS],
  });
  const found = COLLATIONS.find((name) => rows.some((row) => row.name === name));
  if (found !== undefined) return found;
  throw new UnsupportedDatabaseError(
    runner.dataSource.options.type,
    'needs MySQL 8.0.17 or MariaDB 10.6, or newer.',
  );
}

/** A schema is a database here. */
async function ensureDatabase(runner: QueryRunner, name: string): Promise<void> {
  const rows = await execute(runner, {
    text: 'SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?',
    values: [name],
  });
  // Not IF NOT EXISTS: that asks for the right to create databases also where there is nothing to do.
  if (rows.length === 0) {
    await runner.query(`CREATE DATABASE ${runner.dataSource.driver.escape(name)}`);
  }
}

/** CREATE TABLE IF NOT EXISTS would silently take a table of somebody else's for ours. */
async function refuseStrangers(runner: QueryRunner, tables: Tables): Promise<void> {
  const found = await comments(runner, tables, [tables.migrations, ...ownTables(tables)]);
  const stranger = found.find(({ comment }) => comment !== TABLE_COMMENT);
  if (stranger === undefined) return;
  throw new InvalidOptionsError(
    'tables.prefix',
    `gives the name "${stranger.name}", but a table of that name already exists and is not of this ` +
      `library. Choose another prefix.`,
  );
}

/** Those of the tables that exist, with their comments. */
async function comments(
  runner: QueryRunner,
  { schema }: Tables,
  quoted: readonly string[],
): Promise<{ name: string; comment: string }[]> {
  return execute(runner, {
    text: `SELECT TABLE_NAME AS name, TABLE_COMMENT AS comment FROM information_schema.TABLES
      WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME IN (?)`,
    // A name is what stands last between backticks; an allow-list lets none into it.
    values: [schema ?? null, quoted.map((each) => each.split('`').at(-2))],
  });
}
