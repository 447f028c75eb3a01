import { createPostgresBackend, Queue, withBackend, type PostgresConnectionOptions } from 'bullmq';
import { Redis } from 'ioredis';
import pg from 'pg';
import { inject, onTestFinished } from 'vitest';
import type { TestBackends } from './test-app.js';

export type QueueKind = 'redis' | 'postgres';
export const QUEUE_KINDS: readonly QueueKind[] = ['redis', 'postgres'];

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
  const [row] = await query<{ identity: string }>(
    backends,
    'SELECT identity FROM events_relay WHERE namespace = $1',
    [namespace],
  );
  if (row === undefined) throw new Error(`there is no namespace "${namespace}" yet`);
  return row.identity;
}

async function query<Row extends pg.QueryResultRow>(
  backends: TestBackends,
  text: string,
  values: unknown[] = [],
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: backends.database.url });
  await client.connect();
  try {
    return (await client.query<Row>(text, values)).rows;
  } finally {
    await client.end();
  }
}

/** Jobs that exist in whichever state. */
export async function jobCount(bull: Queue): Promise<number> {
  const counts = await bull.getJobCounts();
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

/** Takes every job of a file's queues, as FLUSHALL or a restored backup of the queue does. */
export async function wipeJobs(backends: TestBackends, kind: QueueKind): Promise<void> {
  if (kind === 'postgres') {
    await query(backends, 'DELETE FROM bullmq.job');
    return;
  }
  const { prefix } = backends.redis as { prefix: string };
  const redis = new Redis(inject('redisUrl'));
  const keys = await redis.keys(`${prefix}*`);
  if (keys.length > 0) await redis.del(keys);
  redis.disconnect();
}
