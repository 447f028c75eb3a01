import { setTimeout as pause } from 'node:timers/promises';
import { DataSource, type DataSourceOptions } from 'typeorm';
import type { TestDatabase } from '../support/database.js';
import { eventually } from '../support/wait.js';
import type { ConnectOptions, ContractDatabase, StoreHarness } from './harness.js';
import { sqlDatabase, type SqlWords } from './sql-database.js';

export interface MysqlHarnessOptions {
  readonly name: string;
  /** Makes a database on the server. */
  readonly create: () => Promise<TestDatabase>;
  /** Of the application's DataSource, over its URL. */
  readonly dataSource?: object;
  /** Run on every connection. */
  readonly settings?: readonly string[];
}

/** MariaDB and MySQL. */
export function mysqlHarness({ name, create, ...options }: MysqlHarnessOptions): StoreHarness {
  return {
    name,
    keepsJsonText: true,
    keepsMicroseconds: true,
    open: async () => open(await create(), options),
  };
}

async function open(
  database: TestDatabase,
  { dataSource: overrides, settings = [] }: Omit<MysqlHarnessOptions, 'name' | 'create'>,
): Promise<ContractDatabase> {
  const connect = async ({ timeZone, isolation, poolSize = 10 }: ConnectOptions = {}) => {
    const options = { type: 'mysql', url: database.url, poolSize, ...overrides };
    const dataSource = await new DataSource(options as DataSourceOptions).initialize();
    await onEveryConnection(dataSource, [
      ...settings,
      ...(timeZone === undefined ? [] : [`SET SESSION time_zone = '${timeZone}'`]),
      ...(isolation === undefined ? [] : [`SET SESSION TRANSACTION ISOLATION LEVEL ${isolation}`]),
    ]);
    return dataSource;
  };
  const words: SqlWords = {
    iso: (column) => `CONCAT(LEFT(DATE_FORMAT(${column}, '%Y-%m-%dT%H:%i:%s.%f'), 23), 'Z')`,
    ago: (ms) => `(UTC_TIMESTAMP(6) - INTERVAL ${ms * 1_000} MICROSECOND)`,
    at: (iso) => `CAST('${iso.replace('T', ' ').replace('Z', '')}' AS DATETIME(6))`,
    drop: () => database.drop(),
  };
  return sqlDatabase(await connect(), words, {
    connect,
    sessionId: 'CONNECTION_ID()',
    isWaiting: async (admin, sessionId) => {
      // The server renews this table only when nobody has read it for 100 ms.
      await pause(150);
      const rows = await admin.query<unknown[]>(
        `SELECT 1 FROM information_schema.innodb_trx
          WHERE trx_mysql_thread_id = ${Number(sessionId)} AND trx_state = 'LOCK WAIT'`,
      );
      return rows.length > 0;
    },
    endSession: async (admin, sessionId) => {
      await admin.query(`KILL ${Number(sessionId)}`);
      // Its client knows before the server has rolled back.
      const rest = `SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = ${Number(sessionId)}`;
      await eventually(async () => (await admin.query<unknown[]>(rest)).length === 0, {
        what: `session ${sessionId} is gone`,
      });
    },
  });
}

interface Pool {
  on(event: 'connection', listener: (connection: { query(sql: string): void }) => void): void;
}

/** Also on the one that the DataSource has opened already, to ask for the server's version. */
async function onEveryConnection(dataSource: DataSource, statements: string[]): Promise<void> {
  const { pool } = dataSource.driver as unknown as { pool: Pool };
  pool.on('connection', (connection) => {
    for (const sql of statements) connection.query(sql);
  });
  for (const sql of statements) await dataSource.query(sql);
}
