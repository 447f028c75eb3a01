import type { EventsModuleOptions } from 'nestjs-durable-events';
import { checkDatabase, type DatabaseType } from './database.js';
import { startEmbeddedPostgres } from './embedded-postgres.js';

/** What the application runs on. */
export interface Storage {
  /** For people, without credentials. */
  readonly description: string;
  /** SQLite in tests alone. */
  readonly database:
    | { readonly type: DatabaseType; readonly url: string }
    | { readonly type: 'better-sqlite3'; readonly database: ':memory:' };
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
      database: { type: 'postgres', url: await startEmbeddedPostgres() },
      // Notifications don't cross its connections, so workers look for jobs by themselves.
      events: { workers: { pollInterval: '100ms' } },
    };
  }
  const { type, url, description: place } = await checkDatabase(databaseUrl);
  const on = { database: { type, url } };
  if (!redisUrl) {
    if (type !== 'postgres') {
      throw new Error(
        `${place} can't hold the queue: set REDIS_URL too, to redis://localhost:6379`,
      );
    }
    return { ...on, description: `${place}, BullMQ in the same database`, events: {} };
  }
  if (!URL.canParse(redisUrl)) throw new Error('REDIS_URL is not like redis://localhost:6379');
  const description = `${place}, BullMQ on Redis at ${new URL(redisUrl).host}`;
  return { ...on, description, events: { queue: { redis: redisUrl } } };
}
