import mysql from 'mysql2/promise';
import { Admin, type AdminDriver } from './admin.js';
import type { ChaosDatabase, Session } from './chaos-database.js';
import { MARIADB } from './mariadb.dialect.js';

const DATA = 'SELECT, INSERT, UPDATE, DELETE';

/** See {@link ChaosDatabase}. Each child is a user of its own: sessions have no other name. */
export class MariadbDatabase implements ChaosDatabase {
  readonly kind = 'mariadb';
  readonly dialect = MARIADB;
  readonly admin: Admin;
  readonly longRead = 'SELECT COUNT(*) FROM events_outbox';
  private users: readonly string[] = [];

  constructor(private readonly port: number) {
    this.admin = new Admin(driver(port, 'chaos'));
  }

  async create(children: readonly string[]): Promise<void> {
    this.users = children.map((child) => `'${child}'@'%'`);
    const connection = await driver(this.port, 'mysql').connect();
    await connection.query('CREATE DATABASE chaos CHARACTER SET utf8mb4');
    for (const user of this.users) {
      await connection.query(`CREATE USER ${user}`);
      await connection.query(`GRANT ALL ON chaos.* TO ${user}`);
    }
    connection.end();
  }

  async grantPerTable(): Promise<void> {
    const tables = await this.admin.query<{ name: string }>(
      `SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'chaos'`,
    );
    for (const { name } of tables) await this.grant(DATA, name);
    for (const user of this.users) {
      await this.admin.query(`REVOKE ${DATA} ON chaos.* FROM ${user}`);
    }
    // A session keeps what it was granted on the whole database until it ends.
    await this.endSessions(1_000);
  }

  childUrl(port: number, child: string): string {
    return `mysql://${child}@127.0.0.1:${port}/chaos`;
  }

  async sessions(): Promise<Session[]> {
    const rows = await this.admin.query<Record<keyof Session, number>>(
      `SELECT p.USER LIKE 'relay-%' AS ofRelay,
          p.COMMAND = 'Sleep' AND t.trx_started IS NOT NULL AS idle,
          COALESCE(TIMESTAMPDIFF(SECOND, t.trx_started, NOW()), 0) AS age
        FROM information_schema.PROCESSLIST AS p
        LEFT JOIN information_schema.INNODB_TRX AS t ON t.trx_mysql_thread_id = p.ID
        WHERE p.USER REGEXP '^(relay|worker|emitter)-'`,
    );
    return rows.map(({ ofRelay, idle, age }) => ({
      ofRelay: ofRelay === 1,
      idle: idle === 1,
      age,
    }));
  }

  async endSessions(count: number): Promise<void> {
    const some = await this.admin.query<{ id: number }>(
      `SELECT ID AS id FROM information_schema.PROCESSLIST
        WHERE USER REGEXP '^(relay|worker|emitter)-' ORDER BY RAND() LIMIT ${count}`,
    );
    // It may have ended by itself.
    for (const { id } of some) await this.admin.query(`KILL ${id}`).catch(() => undefined);
  }

  lockRows(table: string): string {
    return `SELECT 1 FROM ${table} LIMIT 20 FOR UPDATE`;
  }

  async revoke(privilege: string, table: string): Promise<void> {
    await this.admin.query(`REVOKE ${privilege} ON chaos.${table} FROM ${this.users.join(', ')}`);
  }

  async grant(privilege: string, table: string): Promise<void> {
    await this.admin.query(`GRANT ${privilege} ON chaos.${table} TO ${this.users.join(', ')}`);
  }
}

function driver(port: number, database: string): AdminDriver {
  return {
    async connect() {
      const url = `mysql://root@127.0.0.1:${port}/${database}`;
      const connection = await mysql.createConnection({ uri: url, connectTimeout: 2_000 });
      connection.on('error', () => undefined);
      return {
        async query<Row>(text: string) {
          const [rows] = await connection.query(text);
          return (Array.isArray(rows) ? rows : []) as Row[];
        },
        end: () => connection.destroy(),
      };
    },
    isOutage(error) {
      const { code = '', message = '' } = error as { code?: string; message?: string };
      return (
        /^(ECONN|EPIPE|ETIMEDOUT|PROTOCOL_|ER_SERVER_SHUTDOWN|ER_CONNECTION_KILLED)/.test(code) ||
        /closed state|connection is closed/i.test(message)
      );
    },
  };
}
