import { Redis } from 'ioredis';
import type { DeliveryJobData } from '../../lib/queue/event-queue.js';
import { startPostgres, startRedis, type PrivateServer } from '../support/services.js';
import type { Admin } from './databases/admin.js';
import type { DatabaseKind } from './databases/dialect.js';
import { PostgresDatabase } from './databases/postgres.js';

export type QueueKind = 'redis' | 'postgres';

/** A job anywhere in the queue. */
export interface Job {
  readonly id: string;
  readonly state: string;
  readonly data: DeliveryJobData;
}

/** The queue, as the supervisor looks at it and breaks it. */
export interface ChaosQueue {
  readonly kind: QueueKind;
  /** Undefined where it is in the application's database. */
  readonly server: PrivateServer | undefined;
  jobs(): Promise<Job[]>;
  /** Deletes everything it holds, as a FLUSHALL does. */
  wipe(): Promise<void>;
  /** The `queue` option of a child that comes through this port. */
  option(port: number): { redis: string } | { postgres: string };
  isUp(): Promise<boolean>;
  close(): void;
}

/** @param database the application's */
export async function startQueue(
  kind: QueueKind,
  database: { kind: DatabaseKind; admin: Admin },
): Promise<ChaosQueue> {
  if (kind === 'redis') return redisQueue(await startRedis());
  if (database.kind === 'postgres') return postgresQueue(undefined, database.admin);
  const server = await startPostgres();
  const own = new PostgresDatabase(server.port);
  await own.create();
  return postgresQueue(server, own.admin);
}

function postgresQueue(server: PrivateServer | undefined, admin: Admin): ChaosQueue {
  return {
    kind: 'postgres',
    server,
    jobs: () => admin.query<Job>('SELECT id, state, data FROM bullmq.job ORDER BY seq LIMIT 1000'),
    async wipe() {
      await admin.query('TRUNCATE bullmq.job, bullmq.meta, bullmq.event CASCADE');
    },
    option: (port) => ({ postgres: `postgres://app@127.0.0.1:${port}/chaos` }),
    isUp: () => admin.isUp(),
    close: () => admin.close(),
  };
}

function redisQueue(server: PrivateServer): ChaosQueue {
  return {
    kind: 'redis',
    server,
    jobs: () => withRedis(server.url, findJobs),
    wipe: () => withRedis(server.url, async (redis) => void (await redis.flushall())),
    option: (port) => ({ redis: `redis://127.0.0.1:${port}` }),
    isUp: () =>
      withRedis(server.url, (redis) => redis.ping()).then(
        () => true,
        () => false,
      ),
    close: () => undefined,
  };
}

/** Keys are `bull:events.<namespace>.<queue>.<identity>:<job id>`, and have more parts for its lock. */
async function findJobs(redis: Redis): Promise<Job[]> {
  const jobKeys = new Set<string>();
  const stream = redis.scanStream({ match: 'bull:events.default.*:default-*', count: 1_000 });
  for await (const keys of stream as AsyncIterable<string[]>) {
    for (const key of keys) jobKeys.add(key.split(':').slice(0, 3).join(':'));
  }
  const found = await Promise.all(
    [...jobKeys].map(async (key) => ({ key, data: await redis.hget(key, 'data') })),
  );
  // Those that are gone meanwhile are none.
  return found.flatMap(({ key, data }) => {
    const id = key.split(':')[2]!;
    return data === null
      ? []
      : [{ id, state: 'anywhere', data: JSON.parse(data) as DeliveryJobData }];
  });
}

async function withRedis<T>(url: string, work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url, { maxRetriesPerRequest: 20, retryStrategy: () => 100 });
  redis.on('error', () => undefined);
  try {
    return await work(redis);
  } finally {
    redis.disconnect();
  }
}
