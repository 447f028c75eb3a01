import { DataSource } from 'typeorm';
import { createPostgresDatabase } from '../support/database.js';
import { describeStoreContract } from './describe-store-contract.js';
import type { ConnectOptions, ContractDatabase } from './harness.js';
import { sqlDatabase, type SqlWords } from './sql-database.js';

async function open(): Promise<ContractDatabase> {
  const database = await createPostgresDatabase();
  const connect = ({ timeZone, isolation, poolSize = 10 }: ConnectOptions = {}) => {
    // POSIX: east is negative in a zone given as an offset.
    const zone = timeZone?.replace(/^[+-]/, (sign) => (sign === '+' ? '-' : '+'));
    const settings = [
      ...(zone === undefined ? [] : [`-c TimeZone=UTC${zone}`]),
      ...(isolation === undefined
        ? []
        : [`-c default_transaction_isolation=${isolation.replace(' ', '\\ ')}`]),
    ];
    return new DataSource({
      type: 'postgres',
      url: database.url,
      poolSize,
      extra: { options: settings.join(' ') },
    }).initialize();
  };
  const words: SqlWords = {
    iso: (column) => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`,
    ago: (ms) => `(clock_timestamp() - interval '${ms} milliseconds')`,
    at: (iso) => `'${iso}'::timestamptz`,
    drop: () => database.drop(),
  };
  return sqlDatabase(await connect(), words, {
    connect,
    sessionId: 'pg_backend_pid()',
    isWaiting: async (admin, sessionId) => {
      const rows = await admin.query<unknown[]>(
        `SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'`,
        [sessionId],
      );
      return rows.length > 0;
    },
    endSession: async (admin, sessionId) => {
      await admin.query('SELECT pg_terminate_backend($1)', [sessionId]);
    },
  });
}

describeStoreContract({
  name: 'PostgreSQL',
  keepsJsonText: false,
  keepsMicroseconds: true,
  open,
});
