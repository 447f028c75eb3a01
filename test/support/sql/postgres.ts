import type { Admin, TestSql, TriggerRows } from './test-sql.js';

export const postgresSql: TestSql = {
  now: 'clock_timestamp()',
  after: (ms) => `(clock_timestamp() + interval '${ms} milliseconds')`,
  instant: (iso) => `timestamptz '${iso}'`,
  iso: (column) => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`,
  uuid: 'gen_random_uuid()',
  series: (rows) => `generate_series(1, ${rows}) AS s(n)`,
  sleep: (seconds) => `pg_sleep(${seconds})`,
  sessionId: 'pg_backend_pid()',
  lockRelay: 'EXECUTE events_lock_relay_',
  conflict: `DO $$ BEGIN RAISE EXCEPTION 'could not serialize' USING ERRCODE = '40001'; END $$`,

  async endSession(admin, sessionId) {
    await admin.query('SELECT pg_terminate_backend($1)', [sessionId]);
  },
  lockWaits: (admin) => sessions(admin, "wait_event_type = 'Lock'"),
  idleTransactions: (admin) => sessions(admin, "state LIKE 'idle in transaction%'"),
  // As a full disk, which is nobody's fault.
  refuse: (admin, rows, error) =>
    trigger(admin, rows, `RAISE EXCEPTION '${error}' USING ERRCODE = '53100'`),
  divert: (admin, rows, column, value) => trigger(admin, rows, `NEW.${column} := ${value}`),
  async dropTrigger(admin, { name }) {
    await admin.query(`DROP FUNCTION ${name}() CASCADE`);
  },
};

async function sessions(admin: Admin, condition: string): Promise<string[]> {
  const rows = await admin.query<{ pid: number }[]>(
    `SELECT pid FROM pg_stat_activity
      WHERE datname = current_database() AND backend_type = 'client backend' AND ${condition}`,
  );
  return rows.map(({ pid }) => String(pid));
}

async function trigger(
  admin: Admin,
  { name, before, table, when }: TriggerRows,
  statement: string,
): Promise<void> {
  await admin.query(`CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN ${statement}; RETURN NEW; END $$`);
  await admin.query(`CREATE TRIGGER ${name} BEFORE ${before} ON ${table} FOR EACH ROW
    WHEN (${when}) EXECUTE FUNCTION ${name}()`);
}
