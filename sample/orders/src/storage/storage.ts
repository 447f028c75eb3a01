import type { EventsModuleOptions } from 'nestjs-durable-events';
import pg from 'pg';
import { startEmbeddedPostgres } from './embedded-postgres.js';

/** What the application runs on. */
export interface Storage {
  /** For people, without credentials. */
  readonly description: string;
  readonly databaseUrl: string;
  readonly events: Pick<EventsModuleOptions, 'queue' | 'workers'>;
}

/** Chooses by `DATABASE_URL` and `REDIS_URL`; needs neither. */
export async function openStorage(env: NodeJS.ProcessEnv): Promise<Storage> {
  const { DATABASE_URL: databaseUrl, REDIS_URL: redisUrl } = env;
  if (!databaseUrl) {
    return {
      description:
        'embedded PostgreSQL (PGlite, in memory: gone when it ends), BullMQ in the same database' +
        (redisUrl ? '. REDIS_URL counts with DATABASE_URL only' : ''),
      databaseUrl: await startEmbeddedPostgres(),
      // Notifications don't cross its connections, so workers look for jobs by themselves.
      events: { workers: { pollInterval: '100ms' } },
    };
  }
  const database = `PostgreSQL at ${await checkDatabase(databaseUrl)}`;
  if (!redisUrl) {
    return { description: `${database}, BullMQ in the same database`, databaseUrl, events: {} };
  }
  if (!URL.canParse(redisUrl)) throw new Error('REDIS_URL is not like redis://localhost:6379');
  const description = `${database}, BullMQ on Redis at ${new URL(redisUrl).host}`;
  return { description, databaseUrl, events: { queue: { redis: redisUrl } } };
}

/** Returns where the database is. @throws a message that says so, if nobody answers there */
async function checkDatabase(connectionString: string): Promise<string> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 5_000 });
  const place = `${client.host}:${client.port}/${client.database ?? ''}`;
  try {
    await client.connect();
    await client.end();
    return place;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(`PostgreSQL at ${place} can't be reached: ${message || code}`, {
      cause: error,
    });
  }
}
