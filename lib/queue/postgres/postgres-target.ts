import pg from 'pg';
import { BULLMQ_SCHEMA } from './queue-schema.js';

/** Connection string or pool configuration of node-postgres. */
export type PostgresTarget = string | pg.PoolConfig;

/** `host:port/database`, without credentials. */
export function place(config: pg.PoolConfig): string {
  // The client parses URLs, environment variables and defaults like the pool will.
  const { host, port, database } = new pg.Client(config);
  return `${host}:${port}/${database ?? ''}`;
}

/**
 * BullMQ's SQL names no schema: the search path of every connection must lead to its tables. Options
 * in a connection string win over those beside it, so they are completed where they are.
 */
export function withSearchPath(config: pg.PoolConfig): pg.PoolConfig {
  const searchPath = `-c search_path=${BULLMQ_SCHEMA}`;
  const complete = (options: string | null | undefined) =>
    options === null || options === undefined || options === ''
      ? searchPath
      : `${options} ${searchPath}`;
  const { connectionString } = config;
  if (connectionString !== undefined && URL.canParse(connectionString)) {
    const url = new URL(connectionString);
    const given = url.searchParams.get('options');
    if (given !== null) {
      url.searchParams.set('options', complete(given));
      return { ...config, connectionString: url.href };
    }
  }
  return { ...config, options: complete(config.options) };
}
