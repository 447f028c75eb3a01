import type { QueryRunner } from 'typeorm';
import { InvalidOptionsError } from '../../errors.js';
import type { SchemaDialect } from '../dialect.js';
import { dialectOf, quoterOf } from '../supported-databases.js';
import { tableNames, type TableOptions, type Tables } from '../tables.js';

export const DEFAULT_TABLES: TableOptions = { prefix: 'events_', schema: undefined };

/** The schema version this release works with, on every database. */
export const SCHEMA_VERSION = 1;

interface MigrateOptions extends Partial<TableOptions> {
  /** `up`: the version to reach (default: the newest). `down`: the version to go back to (default 0). */
  version?: number;
}

/**
 * Brings the library's tables to a version. May be called twice, and by several processes at once:
 * a lock in the database makes the second one wait and find nothing to do.
 *
 * Runs in the runner's open transaction, or in one of its own. MySQL and MariaDB commit with every
 * change of a table: what is interrupted there goes on where it stopped when it is called again.
 *
 * @throws InvalidOptionsError for a prefix, schema or version that can't be
 */
export function up(runner: QueryRunner, options: MigrateOptions = {}): Promise<void> {
  return migrate(runner, options, SCHEMA_VERSION, async (schema, tables, target) => {
    await schema.ensureMigrationsTable(runner, tables);
    const current = await readVersion(runner, tables);
    for (let version = current + 1; version <= target; version++) {
      const statements = (await schema.versions[version - 1]?.up(tables, runner)) ?? [];
      for (const sql of statements) await runner.query(sql);
      // Last: where nothing undoes the statements, a version that is here is complete.
      await runner.query(
        `INSERT INTO ${tables.migrations} (version, applied_at) VALUES (${version}, ${schema.now})`,
      );
    }
  });
}

/** Takes the tables back to an earlier version; to 0 removes them, and all events in them. */
export function down(runner: QueryRunner, options: MigrateOptions = {}): Promise<void> {
  return migrate(runner, options, 0, async (schema, tables, target) => {
    if (!(await schema.hasMigrationsTable(runner, tables))) return;
    const current = await readVersion(runner, tables);
    // Also versions that are not noted down: an interrupted run may have left a part of one.
    for (let version = Math.max(current, SCHEMA_VERSION); version > target; version--) {
      // First: where nothing undoes the statements, a version that is here is complete.
      await runner.query(`DELETE FROM ${tables.migrations} WHERE version = ${version}`);
      for (const sql of schema.versions[version - 1]?.down(tables) ?? []) await runner.query(sql);
    }
    if (target === 0) await runner.query(`DROP TABLE ${tables.migrations}`);
  });
}

/** The version found in the database; 0 where there are no tables. Changes nothing. */
export async function currentVersion(
  runner: QueryRunner,
  options: Partial<TableOptions> = {},
): Promise<number> {
  const { schema, tables } = resolve(runner, options);
  return (await schema.hasMigrationsTable(runner, tables)) ? readVersion(runner, tables) : 0;
}

type Apply = (schema: SchemaDialect, tables: Tables, target: number) => Promise<void>;

async function migrate(
  runner: QueryRunner,
  { version, ...names }: MigrateOptions,
  fallback: number,
  apply: Apply,
): Promise<void> {
  const { schema, tables } = resolve(runner, names);
  const target = version ?? fallback;
  if (!Number.isInteger(target) || target < 0 || target > SCHEMA_VERSION) {
    throw new InvalidOptionsError(
      'version',
      `is ${target}; this release knows the versions 0 to ${SCHEMA_VERSION}.`,
    );
  }
  return schema.exclusively(runner, () => apply(schema, tables, target));
}

async function readVersion(runner: QueryRunner, tables: Tables): Promise<number> {
  const [row] = (await runner.query(
    `SELECT max(version) AS version FROM ${tables.migrations}`,
  )) as {
    version: number | string | null;
  }[];
  return Number(row?.version ?? 0);
}

function resolve(
  runner: QueryRunner,
  { prefix = DEFAULT_TABLES.prefix, schema }: Partial<TableOptions>,
): { schema: SchemaDialect; tables: Tables } {
  const dialect = dialectOf(runner.dataSource.options.type);
  return {
    schema: dialect.schema,
    tables: tableNames({ prefix, schema }, quoterOf(runner.dataSource)),
  };
}

/** For migrations written by hand: `await eventsMigrator.up(queryRunner, { version: 1 })`. */
export const eventsMigrator = { up, down, currentVersion } as const;
