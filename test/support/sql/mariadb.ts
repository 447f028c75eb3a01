import type { Admin, TestSql, TriggerRows } from './test-sql.js';

/** For MySQL too, but for `series`. */
export const mariadbSql: TestSql = {
  now: 'UTC_TIMESTAMP(6)',
  after: (ms) => `(UTC_TIMESTAMP(6) + INTERVAL ${Math.round(ms * 1_000)} MICROSECOND)`,
  instant: (iso) => `TIMESTAMP '${iso.replace('T', ' ').replace('Z', '')}'`,
  iso: (column) => `DATE_FORMAT(${column}, '%Y-%m-%dT%H:%i:%s.%fZ')`,
  uuid: 'UUID()',
  series: (rows) => `(SELECT seq AS n FROM seq_1_to_${rows}) AS s`,
  sleep: (seconds) => `SLEEP(${seconds})`,
  sessionId: 'CONNECTION_ID()',
  lockRelay: 'SKIP LOCKED',
  conflict: `SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found'`,

  async endSession(admin, sessionId) {
    await admin.query(`KILL ${Number(sessionId)}`);
  },
  lockWaits: (admin) => transactions(admin, (text) => text.includes('LOCK WAIT')),
  async idleTransactions(admin) {
    const open = await transactions(admin, () => true);
    const idle = await sessions(admin, "COMMAND = 'Sleep'");
    return open.filter((id) => idle.includes(id));
  },
  refuse: (admin, rows, error) =>
    trigger(
      admin,
      rows,
      // As a full disk, which is nobody's fault.
      `SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1021, MESSAGE_TEXT = '${error}'`,
    ),
  divert: (admin, rows, column, value) => trigger(admin, rows, `SET NEW.${column} = ${value}`),
  async dropTrigger(admin, { name }) {
    await admin.query(`DROP TRIGGER ${name}`);
  },
};

/**
 * Open transactions of this database. Not from information_schema.INNODB_TRX: the server renews
 * that only when nobody has read it for 100 ms, and many tests ask at once.
 */
async function transactions(admin: Admin, matches: (text: string) => boolean): Promise<string[]> {
  const [row] = await admin.query<[{ Status: string }]>('SHOW ENGINE INNODB STATUS');
  const ours = await sessions(admin, 'TRUE');
  return row.Status.split('---TRANSACTION ')
    .slice(1)
    .filter((text) => /^\d+, ACTIVE/.test(text) && matches(text))
    .map((text) => /thread id (\d+)/.exec(text)?.[1])
    .filter((id) => id !== undefined)
    .filter((id) => ours.includes(id));
}

async function sessions(admin: Admin, condition: string): Promise<string[]> {
  const rows = await admin.query<{ id: number | string }[]>(
    `SELECT ID AS id FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ${condition}`,
  );
  return rows.map(({ id }) => String(id));
}

async function trigger(
  admin: Admin,
  { name, before, table, when }: TriggerRows,
  statement: string,
): Promise<void> {
  await admin.query(
    `CREATE TRIGGER ${name} BEFORE ${before} ON ${table} FOR EACH ROW
      IF ${when} THEN ${statement}; END IF`,
  );
}
