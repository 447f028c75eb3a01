import type { DataSource } from 'typeorm';
import { UnsupportedDatabaseError } from '../errors.js';
import type { Signals } from '../observability/signals.js';
import type { BullBackend } from './bull-backend.js';
import { BullEventQueue } from './bull-event-queue.js';
import type { EventQueue } from './event-queue.js';
import type { PostgresTarget } from './postgres/postgres-target.js';
import { loadDriver } from './load-driver.js';
import { ownDatabase } from './postgres/own-database.js';
import type { RedisTarget } from './redis/open-redis.js';

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
  const backend = await createBackend(dataSource, settings, signals);
  return new BullEventQueue(backend, settings, signals);
}

async function createBackend(
  dataSource: DataSource,
  { target, workers, migrate }: QueueSettings,
  signals: Signals,
): Promise<BullBackend> {
  if (target !== undefined && 'redis' in target) {
    const { RedisBackend } = await loadDriver('ioredis', () => import('./redis/redis-backend.js'));
    return new RedisBackend(target.redis, target.prefix ?? 'bull', signals);
  }
  // First: who has no PostgreSQL is told so, and not to install its driver.
  const postgres = target?.postgres ?? requiredDatabase(dataSource);
  const { PostgresBackend } = await loadDriver(
    'pg',
    () => import('./postgres/postgres-backend.js'),
  );
  return new PostgresBackend(postgres, { workers, migrate });
}

function requiredDatabase(dataSource: DataSource): PostgresTarget {
  const own = ownDatabase(dataSource);
  if (own !== undefined) return own;
  throw new UnsupportedDatabaseError(
    dataSource.options.type,
    'it can\'t hold the queue: BullMQ needs Redis or PostgreSQL. Set the "queue" option to ' +
      '{ redis: process.env.REDIS_URL } or { postgres: … }, the address of a PostgreSQL.',
  );
}
