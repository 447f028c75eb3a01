import pg from 'pg';
import { Admin, type AdminDriver } from './admin.js';
import type { ChaosDatabase, Session } from './chaos-database.js';
import { POSTGRES } from './postgres.dialect.js';

/** See {@link ChaosDatabase}. All children are one user, and tell who they are by their names. */
export class PostgresDatabase implements ChaosDatabase {
  readonly kind = 'postgres';
  readonly dialect = POSTGRES;
  readonly admin: Admin;
  readonly longRead = 'SELECT pg_current_xact_id(), count(*) FROM events_outbox';

  constructor(private readonly port: number) {
    this.admin = new Admin(driver(port, 'chaos'));
  }

  async create(): Promise<void> {
    const client = await driver(this.port, 'postgres').connect();
    await client.query('CREATE ROLE app LOGIN');
    await client.query('CREATE DATABASE chaos OWNER app');
    client.end();
  }

  /** What they own, they may do table by table. */
  async grantPerTable(): Promise<void> {}

  childUrl(port: number): string {
    return `postgres://app@127.0.0.1:${port}/chaos`;
  }

  sessions(): Promise<Session[]> {
    return this.admin.query(
      `SELECT application_name LIKE 'chaos relay%' AS "ofRelay",
          state LIKE 'idle in transaction%' AS idle,
          coalesce(extract(epoch FROM clock_timestamp() - xact_start), 0)::float8 AS age
        FROM pg_stat_activity WHERE usename = 'app'`,
    );
  }

  async endSessions(count: number): Promise<void> {
    await this.admin.query(
      `SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity
        WHERE usename = 'app' ORDER BY random() LIMIT ${count}) AS chosen`,
    );
  }

  lockRows(table: string): string {
    return `SELECT FROM ${table} LIMIT 20 FOR UPDATE`;
  }

  async revoke(privilege: string, table: string): Promise<void> {
    await this.admin.query(`REVOKE ${privilege} ON ${table} FROM app`);
  }

  async grant(privilege: string, table: string): Promise<void> {
    await this.admin.query(`GRANT ${privilege} ON ${table} TO app`);
  }
}

function driver(port: number, database: string): AdminDriver {
  return {
    async connect() {
      const client = new pg.Client({
        connectionString: `postgres://postgres@127.0.0.1:${port}/${database}`,
        connectionTimeoutMillis: 2_000,
        application_name: 'chaos supervisor',
      });
      client.on('error', () => undefined);
      await client.connect();
      return {
        query: async <Row>(text: string) => (await client.query(text)).rows as Row[],
        end: () => void client.end().catch(() => undefined),
      };
    },
    isOutage(error) {
      const { code = '', message = '' } = error as { code?: string; message?: string };
      return (
        /^(ECONN|EPIPE|57P|08)/.test(code) || /terminated|timeout|not queryable/i.test(message)
      );
    },
  };
}
