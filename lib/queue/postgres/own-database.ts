import type pg from 'pg';
import type { DataSource } from 'typeorm';

/** The DataSource's connection settings, as node-postgres takes them; undefined on other databases. */
export function ownDatabase(dataSource: DataSource): pg.PoolConfig | undefined {
  const { options } = dataSource;
  if (options.type !== 'postgres') return undefined;
  const { url, host, port, username, password, database, ssl } = {
    ...options,
    ...options.replication?.master,
  };
  // The pool's size is the one thing of its own: every worker keeps a connection.
  const { max: _max, ...extra } = (options.extra ?? {}) as pg.PoolConfig;
  return {
    ...extra,
    ...(url !== undefined && { connectionString: url }),
    ...(host !== undefined && { host }),
    ...(port !== undefined && { port }),
    ...(username !== undefined && { user: username }),
    // A function is fine too, but pg only declares one that returns a promise.
    ...(password !== undefined && { password: password as string }),
    ...(database !== undefined && { database }),
    ...(ssl !== undefined && { ssl: ssl as pg.PoolConfig['ssl'] }),
  };
}
