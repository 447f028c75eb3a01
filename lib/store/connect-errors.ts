import type { DataSource } from 'typeorm';

/** TypeORM's drivers, as far as they are used here. */
interface PooledDriver {
  obtainMasterConnection(): Promise<unknown>;
}

/**
 * Remembers, from now on, why connections of this DataSource could not be had. TypeORM passes such
 * errors on as they are: out of a handler, nothing else tells them from an error of the handler's
 * own sockets.
 */
export function rememberConnectErrors(dataSource: DataSource): WeakSet<object> {
  const errors = new WeakSet();
  const driver = dataSource.driver as PooledDriver;
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
