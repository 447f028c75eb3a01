import { DataSource, type DataSourceOptions } from 'typeorm';
import { onPostgres } from './database.js';

/** Options of a DataSource on a database of `createTestDatabase`. */
export function dataSourceOptions(
  url: string,
  more: Partial<DataSourceOptions> = {},
): DataSourceOptions {
  // The driver takes times for those of the process's zone, unless it is told that ours are UTC.
  const own = onPostgres ? { type: 'postgres' } : { type: 'mysql', timezone: 'Z' };
  return { ...own, url, ...more } as DataSourceOptions;
}

/** An open DataSource on a database of `createTestDatabase`. */
export function openDataSource(
  url: string,
  more: Partial<DataSourceOptions> = {},
): Promise<DataSource> {
  return new DataSource(dataSourceOptions(url, more)).initialize();
}

/**
 * Options for a pool of that size.
 *
 * @param connectMs how long to wait for a connection: on PostgreSQL also for a free one of the pool,
 *   which the driver of MariaDB waits for as long as it takes
 */
export function pool(size: number | undefined, connectMs = 10_000): Partial<DataSourceOptions> {
  return {
    ...(size !== undefined && { poolSize: size }),
    ...(onPostgres ? { connectTimeoutMS: connectMs } : { connectTimeout: connectMs }),
  };
}

/** Runs statements on every connection of a pool, those to come included. */
export async function onEveryConnection(
  dataSource: DataSource,
  statements: readonly string[],
): Promise<void> {
  const { master, pool: mysqlPool } = dataSource.driver as unknown as { master: Pool; pool: Pool };
  const prepare = (connection: Connection) => {
    for (const statement of statements) void connection.query(statement);
  };
  if (onPostgres) master.on('connect', prepare);
  else mysqlPool.on('connection', prepare);
  // The one that asked for the server's version is there already.
  for (const statement of statements) await dataSource.query(statement);
}

interface Connection {
  query(sql: string): unknown;
}
interface Pool {
  on(event: 'connect' | 'connection', listener: (connection: Connection) => void): void;
}
