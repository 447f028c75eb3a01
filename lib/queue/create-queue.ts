import type pg from 'pg';
import type { DataSource } from 'typeorm';
import { InvalidOptionsError, UnsupportedDatabaseError } from '../errors.js';
import type { Signals } from '../observability/signals.js';
import type { BullBackend } from './bull-backend.js';
import { BullEventQueue } from './bull-event-queue.js';
import type { EventQueue } from './event-queue.js';
import type { PostgresTarget } from './postgres/postgres-backend.js';
import type { RedisTarget } from './redis/redis-backend.js';

/** Where the jobs go: BullMQ on Redis, or on PostgreSQL. */
export type QueueTarget =
  | {
      /** Redis URL, ioredis options, or an ioredis instance (duplicated, never closed). */
      redis: RedisTarget;
      /** BullMQ's key prefix. Default `bull`, where BullMQ's tools look. */
      prefix?: string;
    }
  | {
      /** Connection string or node-postgres pool configuration. Tables live in schema `bullmq`. */
      postgres: PostgresTarget;
    };

interface QueueSettings {
  readonly namespace: string;
  /** Of the namespace, in its database. */
  readonly identity: string;
  readonly target: QueueTarget | undefined;
  /** Number of queues worked in this process. */
  readonly workers: number;
  readonly migrate: boolean;
}

/**
 * The event queue for the `queue` option; without one, BullMQ on the DataSource's own PostgreSQL.
 * Drivers are loaded here, so that an application needs only the one it uses.
 *
 * @throws UnsupportedDatabaseError without a target on a database other than PostgreSQL
 */
export async function createQueue(
  dataSource: DataSource,
  settings: QueueSettings,
  signals: Signals,
): Promise<EventQueue> {
  const backend = await createBackend(dataSource, settings);
  return new BullEventQueue(backend, settings, signals);
}

async function createBackend(
  dataSource: DataSource,
  { target, workers, migrate }: QueueSettings,
): Promise<BullBackend> {
  if (target !== undefined && 'redis' in target) {
    const { RedisBackend } = await load('ioredis', () => import('./redis/redis-backend.js'));
    return new RedisBackend(target.redis, target.prefix ?? 'bull');
  }
  const { PostgresBackend } = await load('pg', () => import('./postgres/postgres-backend.js'));
  const postgres = target?.postgres ?? ownDatabase(dataSource);
  return new PostgresBackend(postgres, { workers, migrate });
}

async function load<T>(driver: string, module: () => Promise<T>): Promise<T> {
  try {
    return await module();
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new InvalidOptionsError('queue', `needs the package "${driver}": npm install ${driver}.`);
  }
}

/** The DataSource's connection settings, as node-postgres takes them. */
function ownDatabase(dataSource: DataSource): PostgresTarget {
  const { options } = dataSource;
  if (options.type !== 'postgres') {
    throw new UnsupportedDatabaseError(
      options.type,
      'BullMQ needs Redis or PostgreSQL. Set the "queue" option to { redis: … } or { postgres: … }.',
    );
  }
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
