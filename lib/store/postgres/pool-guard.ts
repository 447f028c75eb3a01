import type { EventEmitter } from 'node:events';
import type { DataSource } from 'typeorm';

/**
 * Keeps the process alive when the server goes away in the moment it has accepted a connection.
 * TypeORM listens for a connection's errors one microtask after it is ready; an error that came in
 * the same packet finds no listener by then, and Node ends the process. With this one, the query
 * fails that was to use the connection. May be called twice.
 */
export function guardPools(dataSource: DataSource): void {
  const { master, slaves } = dataSource.driver as {
    master?: EventEmitter;
    slaves?: EventEmitter[];
  };
  for (const pool of [master, ...(slaves ?? [])]) {
    if (pool !== undefined && !pool.listeners('connect').includes(listen)) {
      pool.on('connect', listen);
    }
  }
}

function listen(connection: EventEmitter): void {
  connection.on('error', () => undefined);
}
