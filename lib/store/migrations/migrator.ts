import type { QueryRunner } from 'typeorm';
import { InvalidOptionsError } from '../../errors.js';
import { createTables, dropTables } from '../postgres/schema.sql.js';
import { assertSupported, quoterOf } from '../supported-databases.js';
import { tableNames, type TableOptions, type Tables } from '../tables.js';

export const DEFAULT_TABLES: TableOptions = { prefix: 'events_', schema: undefined };

interface SchemaVersion {
  up(tables: Tables): string[];
  down(tables: Tables): string[];
}

/** All versions of the library's schema, in order; version n is at index n - 1. */
const VERSIONS: readonly SchemaVersion[] = [{ up: createTables, down: dropTables }];

/** The schema version this release works with. */
export const SCHEMA_VERSION = VERSIONS.length;

interface MigrateOptions extends Partial<TableOptions> {
  /** `up`: the version to reach (default: the newest). `down`: the version to go back to (default 0). */
  version?: number;
}

/**
 * Brings the library's tables to a version. May be called twice, and by several processes at once:
 * a lock in the database makes the second one wait and find nothing to do.
 *
 * Runs in the runner's open transaction, or in one of its own.
 *
 * @throws InvalidOptionsError for a prefix, schema or version that can't be
 */
export function up(runner: QueryRunner, options: MigrateOptions = {}): Promise<void> {
  return migrate(runner, options, SCHEMA_VERSION, async (tables, target) => {
    await ensureLedger(runner, tables);
    const current = await readVersion(runner, tables);
    for (let version = current + 1; version <= target; version++) {
      for (const sql of VERSIONS[version - 1]?.up(tables) ?? []) await runner.query(sql);
      await runner.query(
        `INSERT INTO ${tables.migrations} (version, applied_at) VALUES ($1, clock_timestamp())`,
        [version],
      );
    }
  });
}

/** Takes the tables back to an earlier version; to 0 removes them, and all events in them. */
export function down(runner: QueryRunner, options: MigrateOptions = {}): Promise<void> {
  return migrate(runner, options, 0, async (tables, target) => {
    if (!(await hasLedger(runner, tables))) return;
    const current = await readVersion(runner, tables);
    for (let version = current; version > target; version--) {
      for (const sql of VERSIONS[version - 1]?.down(tables) ?? []) await runner.query(sql);
      await runner.query(`DELETE FROM ${tables.migrations} WHERE version = $1`, [version]);
    }
    if (target === 0) await runner.query(`DROP TABLE ${tables.migrations}`);
  });
}

/** The version found in the database; 0 where there are no tables. Changes nothing. */
export async function currentVersion(
  runner: QueryRunner,
  options: Partial<TableOptions> = {},
): Promise<number> {
  const tables = resolve(runner, options);
  return (await hasLedger(runner, tables)) ? readVersion(runner, tables) : 0;
}

type Apply = (tables: Tables, target: number) => Promise<void>;

async function migrate(
  runner: QueryRunner,
  { version, ...names }: MigrateOptions,
  fallback: number,
  apply: Apply,
): Promise<void> {
  const tables = resolve(runner, names);
  const target = version ?? fallback;
  if (!Number.isInteger(target) || target < 0 || target > SCHEMA_VERSION) {
    throw new InvalidOptionsError(
      'version',
      `is ${target}; this release knows the versions 0 to ${SCHEMA_VERSION}.`,
    );
  }
  if (runner.isTransactionActive) return locked(runner, () => apply(tables, target));
  await runner.startTransaction('READ COMMITTED');
  try {
    await locked(runner, () => apply(tables, target));
    await runner.commitTransaction();
  } catch (error) {
    if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined);
    throw error;
  }
}

/** One lock for all prefixes: those of one schema may all be about to create it. */
async function locked(runner: QueryRunner, apply: () => Promise<void>): Promise<void> {
  await runner.query(`SELECT pg_advisory_xact_lock(hashtextextended('nestjs-durable-events', 0))`);
  await apply();
}

/** The table of applied versions, and the schema it is in. */
async function ensureLedger(runner: QueryRunner, tables: Tables): Promise<void> {
  if (tables.schema !== undefined) {
    const schema = quoterOf(runner.dataSource)(tables.schema);
    // Not IF NOT EXISTS: that asks for the right to create schemas also where there is nothing to do.
    if (!(await exists(runner, 'regnamespace', schema))) {
      await runner.query(`CREATE SCHEMA ${schema}`);
    }
  }
  await runner.query(`CREATE TABLE IF NOT EXISTS ${tables.migrations} (
    version integer PRIMARY KEY, applied_at timestamptz NOT NULL)`);
}

function hasLedger(runner: QueryRunner, tables: Tables): Promise<boolean> {
  return exists(runner, 'regclass', tables.migrations);
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

async function readVersion(runner: QueryRunner, tables: Tables): Promise<number> {
  const [row] = (await runner.query(
    `SELECT coalesce(max(version), 0)::text AS version FROM ${tables.migrations}`,
  )) as { version: string }[];
  return Number(row?.version ?? 0);
}

function resolve(runner: QueryRunner, options: Partial<TableOptions>): Tables {
  const { prefix = DEFAULT_TABLES.prefix, schema } = options;
  assertSupported(runner.dataSource.options.type);
  return tableNames({ prefix, schema }, quoterOf(runner.dataSource));
}

/** For migrations written by hand: `await eventsMigrator.up(queryRunner, { version: 1 })`. */
export const eventsMigrator = { up, down, currentVersion } as const;
