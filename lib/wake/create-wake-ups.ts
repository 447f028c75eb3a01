import type pg from 'pg';
import type { DataSource } from 'typeorm';
import type { QueueTarget } from '../queue/create-queue.js';
import { loadDriver } from '../queue/load-driver.js';
import { ownDatabase } from '../queue/postgres/own-database.js';
import type { PostgresTarget } from '../queue/postgres/postgres-target.js';
import { channelOf, type Announcer, type Listener } from './wake-ups.js';

interface Place {
  readonly dataSource: DataSource;
  /** Of the namespace, in its database. */
  readonly identity: string;
  /** The `queue` option: wake-ups go where the jobs go. */
  readonly target: QueueTarget | undefined;
}

/**
 * What a process without a relay tells its commits by; undefined where it has no queue to tell them
 * through. On the application's own PostgreSQL it needs no connection of its own.
 */
export async function createAnnouncer(place: Place): Promise<Announcer | undefined> {
  const { dataSource, target } = place;
  const channel = channelOf(place.identity);
  if (target !== undefined && 'redis' in target) {
    const { RedisAnnouncer } = await loadDriver('ioredis', () => import('./redis-wake-ups.js'));
    return new RedisAnnouncer(target.redis, channel);
  }
  if (target === undefined && ownDatabase(dataSource) === undefined) return undefined;
  const postgres = await loadDriver('pg', () => import('./postgres-wake-ups.js'));
  if (target !== undefined) {
    return new postgres.PostgresAnnouncer(toConfig(target.postgres), channel);
  }
  return new postgres.SharedPostgresAnnouncer(() =>
    notifyThrough(dataSource, postgres.NOTIFY, channel),
  );
}

/** What a relay hears the commits of other processes by. */
export async function createListener(
  place: Place,
  onWake: () => void,
): Promise<Listener | undefined> {
  const { dataSource, target } = place;
  const channel = channelOf(place.identity);
  if (target !== undefined && 'redis' in target) {
    const { RedisListener } = await loadDriver('ioredis', () => import('./redis-wake-ups.js'));
    return new RedisListener(target.redis, channel, onWake);
  }
  const postgres = target?.postgres ?? ownDatabase(dataSource);
  if (postgres === undefined) return undefined;
  const { PostgresListener } = await loadDriver('pg', () => import('./postgres-wake-ups.js'));
  return new PostgresListener(toConfig(postgres), channel, onWake);
}

function toConfig(target: PostgresTarget): pg.PoolConfig {
  return typeof target === 'string' ? { connectionString: target } : target;
}

async function notifyThrough(
  dataSource: DataSource,
  notify: string,
  channel: string,
): Promise<void> {
  const runner = dataSource.createQueryRunner('master');
  try {
    await runner.query(notify, [channel]);
  } finally {
    await runner.release();
  }
}
