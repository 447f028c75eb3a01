import type { DataSource } from 'typeorm';
import { UnsupportedDatabaseError } from '../errors.js';
import type { Dialect } from './dialect.js';
import { mysql } from './mysql/mysql.dialect.js';
import { postgres } from './postgres/postgres.dialect.js';
import { sqlite } from './sqlite/sqlite.dialect.js';
import type { QuoteIdentifier } from './tables.js';

/** By the type of the DataSource. A server's kind is asked of the server, where it matters. */
const DIALECTS = new Map<string, Dialect>([
  ['postgres', postgres],
  ['mysql', mysql],
  ['mariadb', mysql],
  ['better-sqlite3', sqlite],
]);

/** @throws UnsupportedDatabaseError for a database without a store */
export function dialectOf(type: string): Dialect {
  const dialect = DIALECTS.get(type);
  if (dialect !== undefined) return dialect;
  const forApps = [...DIALECTS].filter(([, { testsOnly }]) => testsOnly !== true);
  const known = forApps.map(([each]) => `"${each}"`).join(', ');
  throw new UnsupportedDatabaseError(type, `only ${known} are supported so far.`);
}

/** @throws UnsupportedDatabaseError for a database that is for tests alone */
export function refuseTestDatabase(dialect: Dialect, type: string): void {
  if (dialect.testsOnly !== true) return;
  throw new UnsupportedDatabaseError(
    type,
    'all of an application would share one connection, and strangers one transaction: it is supported in ' +
      'tests only, by EventsTestingModule of nestjs-durable-events/testing.',
  );
}

export function quoterOf(dataSource: DataSource): QuoteIdentifier {
  return (identifier) => dataSource.driver.escape(identifier);
}
