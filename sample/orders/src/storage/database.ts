import { createConnection } from 'mysql2/promise';
import pg from 'pg';

/** The kind of DataSource, and of its URL. */
export type DatabaseType = 'postgres' | 'mysql' | 'mariadb';

const CONNECT_LIMIT_MS = 5_000;

const KINDS: Record<string, { type: DatabaseType; title: string }> = {
  'postgres:': { type: 'postgres', title: 'PostgreSQL' },
  'postgresql:': { type: 'postgres', title: 'PostgreSQL' },
  'mysql:': { type: 'mysql', title: 'MySQL' },
  'mariadb:': { type: 'mariadb', title: 'MariaDB' },
};

export interface Database {
  readonly type: DatabaseType;
  readonly url: string;
  /** Such as `PostgreSQL at localhost:5432/shop`, without credentials. */
  readonly description: string;
}

/** @throws a message that says so, if nobody answers there */
export async function checkDatabase(url: string): Promise<Database> {
  const kind = URL.canParse(url) ? KINDS[new URL(url).protocol] : undefined;
  if (kind === undefined) {
    throw new Error('DATABASE_URL is not like postgres://localhost/shop or mysql://localhost/shop');
  }
  const { type, title } = kind;
  const { host, pathname } = new URL(url);
  const description = `${title} at ${host}${pathname}`;
  try {
    await (type === 'postgres' ? askPostgres(url) : askMysql(url));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(`${description} can't be reached: ${message || code}`, { cause: error });
  }
  return { type, url, description };
}

async function askPostgres(connectionString: string): Promise<void> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: CONNECT_LIMIT_MS });
  await client.connect();
  await client.end();
}

async function askMysql(url: string): Promise<void> {
  const uri = url.replace(/^mariadb:/, 'mysql:');
  const connection = await createConnection({ uri, connectTimeout: CONNECT_LIMIT_MS });
  await connection.end();
}
