import type { DataSource } from 'typeorm';
import type { Stores } from './store.js';
import { dialectOf, quoterOf, refuseTestDatabase } from './supported-databases.js';
import { tableNames, type TableOptions } from './tables.js';

/**
 * The stores for a DataSource's database.
 *
 * @param use `tests`: also one that applications may not use
 * @throws UnsupportedDatabaseError
 */
export function createStores(
  dataSource: DataSource,
  options: { namespace: string; tables: TableOptions },
  use: 'application' | 'tests' = 'application',
): Stores {
  const { type } = dataSource.options;
  const dialect = dialectOf(type);
  if (use === 'application') refuseTestDatabase(dialect, type);
  const tables = tableNames(options.tables, quoterOf(dataSource));
  return dialect.createStores(dataSource, tables, options.namespace);
}
