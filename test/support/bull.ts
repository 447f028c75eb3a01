import { createPostgresBackend, Queue, withBackend, type PostgresConnectionOptions } from 'bullmq';
import { Redis } from 'ioredis';
import pg from 'pg';
import { inject, onTestFinished } from 'vitest';
import { openDataSource } from './data-source.js';
import { onPostgres } from './database.js';
import type { TestBackends } from './test-app.js';

export type QueueKind = 'redis' | 'postgres';
/** Where the jobs may be, beside this project's database. */
export const QUEUE_KINDS: readonly QueueKind[] = onPostgres ? ['redis', 'postgres'] : ['redis'];

/**
 * BullMQ itself, to look at (or meddle with) the jobs of one queue; the namespace must exist. Closed
 * with the test.
 */
export async function openBull(
  backends: TestBackends,
  kind: QueueKind,
  namespace: string,
  queue = 'default',
): Promise<Queue> {
  const name = `events.${namespace}.${queue}.${await identityOf(backends, namespace)}`;
  return openBullNamed(backends, kind, name);
}

/** By BullMQ's name of the queue. */
export function openBullNamed(backends: TestBackends, kind: QueueKind, name: string): Queue {
  return kind === 'redis' ? openOnRedis(backends, name) : openOnPostgres(backends, name);
}

function openOnRedis(backends: TestBackends, name: string): Queue {
  const connection = new Redis(inject('redisUrl'), { maxRetriesPerRequest: null });
  const { prefix } = backends.redis as { prefix: string };
  const bull = new Queue(name, { connection, prefix });
  onTestFinished(async () => {
    await bull.close();
    connection.disconnect();
  });
  return bull;
}

function openOnPostgres(backends: TestBackends, name: string): Queue {
  const pool = new pg.Pool({
    connectionString: backends.database.url,
    options: '-c search_path=bullmq',
    max: 3,
  });
  pool.on('error', () => undefined);
  const bull = new (withBackend(createPostgresBackend).Queue)(name, {
    connection: pool as unknown as PostgresConnectionOptions,
  }) as unknown as Queue;
  onTestFinished(async () => {
    await bull.close();
    await pool.end();
  });
  return bull;
}

async function identityOf(backends: TestBackends, namespace: string): Promise<string> {
  const dataSource = await openDataSource(backends.database.url);
  try {
    const [row] = await dataSource.sql<{ identity: string }[]>`
      SELECT identity FROM events_relay WHERE namespace = ${namespace}`;
    if (row === undefined) throw new Error(`there is no namespace "${namespace}" yet`);
    return row.identity;
  } finally {
    await dataSource.destroy();
  }
}

/** Deliveries that jobs carry, in whichever state these are. */
export async function carriedCount(bull: Queue): Promise<number> {
  const jobs = (await bull.getJobs()) as { data: { deliveries: unknown[] } }[];
  return jobs.reduce((sum, { data }) => sum + data.deliveries.length, 0);
}

/** Jobs that exist in whichever state. */
export async function jobCount(bull: Queue): Promise<number> {
  const counts = await bull.getJobCounts();
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

const DELETE_ALL = `for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end`;

/** Takes every job of a file's queues, as FLUSHALL or a restored backup of the queue does. */
export async function wipeJobs(backends: TestBackends, kind: QueueKind): Promise<void> {
  if (kind === 'postgres') {
    await onQueue(backends, 'DELETE FROM bullmq.job');
    return;
  }
  const { prefix } = backends.redis as { prefix: string };
  const redis = new Redis(inject('redisUrl'));
  // At once, as FLUSHALL: a job added between two commands would keep its key and lose its place.
  await redis.eval(DELETE_ALL, 0, `${prefix}*`);
  redis.disconnect();
}

/** Takes everything of a file's queues, their metadata included, as FLUSHALL does. */
export async function wipeQueue(backends: TestBackends, kind: QueueKind): Promise<void> {
  await wipeJobs(backends, kind);
  if (kind === 'postgres') await onQueue(backends, 'DELETE FROM bullmq.meta');
}

/** A statement on the tables of BullMQ on PostgreSQL. */
async function onQueue(backends: TestBackends, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: backends.database.url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
