import type { EventEmitter } from 'node:events';
import type { DataSource } from 'typeorm';

/** TypeORM's PostgreSQL driver, as far as it is used here. */
interface PooledDriver {
  readonly master?: EventEmitter;
  readonly slaves?: readonly EventEmitter[];
  obtainMasterConnection(): Promise<unknown>;
}

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

/**
 * Remembers, from now on, why connections of this DataSource could not be had. TypeORM passes such
 * errors on as they are: out of a handler, nothing else tells them from an error of the handler's
 * own sockets.
 */
export function rememberConnectErrors(dataSource: DataSource): WeakSet<object> {
  const errors = new WeakSet();
  const driver = driverOf(dataSource);
  const obtain = driver.obtainMasterConnection.bind(driver);
  driver.obtainMasterConnection = async () => {
    try {
      return await obtain();
    } catch (error) {
      if (error instanceof Error) errors.add(error);
      throw error;
    }
  };
  return errors;
}

function driverOf(dataSource: DataSource): PooledDriver {
  return dataSource.driver;
}

function listen(connection: EventEmitter): void {
  connection.on('error', () => undefined);
}
