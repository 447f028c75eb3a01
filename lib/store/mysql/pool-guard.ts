import type { EventEmitter } from 'node:events';
import type { DataSource } from 'typeorm';

/** TypeORM's MySQL driver with mysql2, as far as it is used here. */
interface PooledDriver {
  obtainMasterConnection(): Promise<EventEmitter>;
  readonly options: {
    readonly poolSize?: number;
    readonly extra?: { readonly connectionLimit?: number };
  };
}

/** What mysql2 does without a limit. */
const DEFAULT_POOL_SIZE = 10;

/**
 * Keeps the process alive when a connection reports its end more than once: mysql2 listens for the
 * first time only, and TypeORM takes that for a listener of the application's. May be called twice.
 */
export function guardConnections(dataSource: DataSource): void {
  const driver = driverOf(dataSource);
  const obtain = driver.obtainMasterConnection.bind(driver);
  driver.obtainMasterConnection = async () => {
    const connection = await obtain();
    if (!connection.listeners('error').includes(ignore)) connection.on('error', ignore);
    return connection;
  };
}

/** Connections that the DataSource may have open at once. */
export function poolSize(dataSource: DataSource): number {
  const { options } = driverOf(dataSource);
  return options.extra?.connectionLimit ?? options.poolSize ?? DEFAULT_POOL_SIZE;
}

function driverOf(dataSource: DataSource): PooledDriver {
  return dataSource.driver;
}

/** The query that uses the connection fails, and says why. */
function ignore(): void {}
