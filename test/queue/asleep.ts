import { Redis } from 'ioredis';
import pg from 'pg';
import { inject } from 'vitest';
import type { QueueKind } from '../support/bull.js';
import type { TestBackends } from '../support/test-app.js';
import { eventually } from '../support/wait.js';
import type { OwnQueue } from './own-queue.js';

/** PostgreSQL cuts an application's name there. */
const MAX_NAME_BYTES = 63;

/** Waits until the only worker of a queue has found nothing to do, and waits for a wake-up. */
export async function asleep(
  backends: TestBackends,
  kind: QueueKind,
  { bullName }: OwnQueue,
): Promise<void> {
  await (kind === 'redis' ? asleepOnRedis(bullName) : asleepOnPostgres(backends, bullName));
}

async function asleepOnRedis(bullName: string): Promise<void> {
  const redis = new Redis(inject('redisUrl'));
  const name = Buffer.from(bullName).toString('base64');
  try {
    await eventually(
      async () =>
        String(await redis.client('LIST'))
          .split('\n')
          .some((client) => client.includes(name) && client.includes('cmd=bzpopmin')),
      { what: 'the worker blocks on Redis' },
    );
  } finally {
    redis.disconnect();
  }
}

async function asleepOnPostgres(backends: TestBackends, bullName: string): Promise<void> {
  const client = new pg.Client({ connectionString: backends.database.url });
  await client.connect();
  try {
    await eventually(
      async () => {
        const { rowCount } = await client.query(
          `SELECT 1 FROM pg_stat_activity
           WHERE application_name = $1 AND query LIKE '%LISTEN %' AND state = 'idle'`,
          [bullName.slice(0, MAX_NAME_BYTES)],
        );
        return rowCount === 1;
      },
      { what: 'the worker listens on PostgreSQL' },
    );
  } finally {
    await client.end();
  }
}
