import pg from 'pg';
import { createDatabase, type TestDatabase } from '../../scripts/services/database.mjs';
import { askPostgres, startPostgres } from '../../scripts/services/postgres.mjs';
import { askRedis, startRedis } from '../../scripts/services/redis.mjs';

/** Of the private PostgreSQL: durable as in production, and with room for ten million rows. */
const POSTGRES_SETTINGS = {
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  shared_buffers: '1GB',
  max_wal_size: '8GB',
  checkpoint_timeout: '15min',
};

/** What a figure depends on; read back from the server, whoever started it. */
const STATED = [...Object.keys(POSTGRES_SETTINGS), 'max_connections', 'wal_level'];

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[?::1\]?)$/;

/** What a report says of a server. */
export interface ServerFacts {
  readonly version: string;
  readonly from: string;
  readonly settings: Readonly<Record<string, string>>;
}

/** The two servers of a run, and the databases made for it. */
export class Servers {
  private readonly databases = new Set<TestDatabase>();

  private constructor(
    readonly databaseUrl: string,
    readonly redisUrl: string,
    readonly postgres: ServerFacts,
    readonly redis: ServerFacts,
    private readonly stops: readonly (() => Promise<void>)[],
  ) {}

  /**
   * Uses the servers that the environment names, or starts private ones.
   *
   * @throws Error if a server is not on this machine, or its commits are not durable
   */
  static async open(env: NodeJS.ProcessEnv): Promise<Servers> {
    const stops: (() => Promise<void>)[] = [];
    const urlOf = async (
      variable: string,
      start: () => Promise<{ url: string; stop(): Promise<void> }>,
    ) => {
      const given = env[variable];
      if (given !== undefined && given !== '') return onThisMachine(variable, given);
      const server = await start();
      stops.push(() => server.stop());
      return server.url;
    };
    try {
      const databaseUrl = await urlOf('DATABASE_URL', () => startPostgres(POSTGRES_SETTINGS));
      const redisUrl = await urlOf('REDIS_URL', startRedis);
      return new Servers(
        databaseUrl,
        redisUrl,
        await postgresFacts(databaseUrl, env['DATABASE_URL']),
        await redisFacts(redisUrl, env['REDIS_URL']),
        stops,
      );
    } catch (error) {
      await Promise.allSettled(stops.map((stop) => stop()));
      throw error;
    }
  }

  /** An empty database. */
  async createDatabase(): Promise<TestDatabase> {
    const database = await createDatabase(this.databaseUrl);
    this.databases.add(database);
    return database;
  }

  async dropDatabase(database: TestDatabase): Promise<void> {
    this.databases.delete(database);
    await database.drop();
  }

  /** Leaves nothing behind: drops its databases on a server that goes on, ends its own servers. */
  async close(): Promise<void> {
    if (process.env['DATABASE_URL']) {
      await Promise.allSettled([...this.databases].map((database) => database.drop()));
    }
    await Promise.allSettled(this.stops.map((stop) => stop()));
  }
}

function onThisMachine(variable: string, url: string): string {
  const { hostname } = new URL(url);
  if (LOOPBACK.test(hostname)) return url;
  throw new Error(
    `${variable} names ${hostname}: the benchmark only loads servers on this machine.`,
  );
}

async function postgresFacts(url: string, given: string | undefined): Promise<ServerFacts> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const settings: Record<string, string> = {};
    for (const name of STATED) {
      const { rows } = await client.query<Record<string, string>>(`SHOW ${name}`);
      settings[name] = rows[0]?.[name] ?? '';
    }
    for (const name of ['fsync', 'synchronous_commit', 'full_page_writes']) {
      if (settings[name] !== 'on') {
        throw new Error(`PostgreSQL has ${name} = ${settings[name]}: no figure counts without it.`);
      }
    }
    return { version: await askPostgres(url), from: source('DATABASE_URL', given), settings };
  } finally {
    await client.end();
  }
}

async function redisFacts(url: string, given: string | undefined): Promise<ServerFacts> {
  const persistence = given ? 'as it is' : 'no snapshots, no append-only file';
  return {
    version: await askRedis(url),
    from: source('REDIS_URL', given),
    settings: { persistence },
  };
}

function source(variable: string, given: string | undefined): string {
  return given ? `from ${variable}` : 'private, started for this run';
}
