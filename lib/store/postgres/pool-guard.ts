import type { EventEmitter } from 'node:events';
import type { DataSource } from 'typeorm';

/** TypeORM's PostgreSQL driver, as far as it is used here. */
interface PooledDriver {
  readonly master?: EventEmitter & { readonly options?: { readonly max?: number } };
  readonly slaves?: readonly EventEmitter[];
}

/** What node-postgres does without a limit. */
const DEFAULT_POOL_SIZE = 10;

/**
 * Keeps the process alive when the server goes away in the moment it has accepted a connection.
 * TypeORM listens for a connection's errors one microtask after it is ready; an error that came in
 * the same packet finds no listener by then, and Node ends the process. With this one, the query
 * fails that was to use the connection. May be called twice.
 */
export function guardPools(dataSource: DataSource): void {
  const { master, slaves = [] } = driverOf(dataSource);
  for (const pool of [master, ...slaves]) {
    if (pool !== undefined && !pool.listeners('connect').includes(listen)) {
      pool.on('connect', listen);
    }
  }
}

/** Connections that the DataSource may have open at once. */
export function poolSize(dataSource: DataSource): number {
  return driverOf(dataSource).master?.options?.max ?? DEFAULT_POOL_SIZE;
}

function driverOf(dataSource: DataSource): PooledDriver {
  return dataSource.driver as PooledDriver;
}

function listen(connection: EventEmitter): void {
  connection.on('error', () => undefined);
}
