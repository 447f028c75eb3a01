import type { DataSource } from 'typeorm';
import type { EventStore } from './event-store.js';
import { guardPools } from './postgres/pool-guard.js';
import { PostgresEventStore } from './postgres/postgres.store.js';
import { assertSupported, quoterOf } from './supported-databases.js';
import { tableNames, type TableOptions } from './tables.js';

/**
 * The store for a DataSource's database.
 *
 * @throws UnsupportedDatabaseError
 */
export function createStore(
  dataSource: DataSource,
  options: { namespace: string; tables: TableOptions },
): EventStore {
  assertSupported(dataSource.options.type);
  guardPools(dataSource);
  const tables = tableNames(options.tables, quoterOf(dataSource));
  return new PostgresEventStore(dataSource, tables, options.namespace);
}
