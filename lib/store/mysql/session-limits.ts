import type { QueryRunner } from 'typeorm';
import { inTransaction } from '../connection.js';

/**
 * Limits of a session while it holds a namespace's relay row, in seconds: for its waits for locks on
 * rows and tables, and (C9) for the case that this process was stopped in the middle of the
 * transaction: the server ends an idle session, and the lock with it.
 */
const LIMITS = { innodb_lock_wait_timeout: 10, lock_wait_timeout: 10, wait_timeout: 10 };

/** MariaDB limits statements in seconds; MySQL limits SELECTs, in milliseconds. */
const STATEMENT_LIMITS = { max_statement_time: 30, max_execution_time: 30_000 };

/** As drivers return them: numbers, or texts of numbers. */
type Limits = Readonly<Record<string, number | string>>;

/** Runs transactions under limits that end with them: neither server has settings that do. */
export class SessionLimits {
  private limits: Limits | undefined;

  /** A transaction; afterwards the session is as it was, because it goes back to the user's pool. */
  async transaction<T>(runner: QueryRunner, work: () => Promise<T>): Promise<T> {
    this.limits ??= { ...LIMITS, ...(await statementLimit(runner)) };
    const names = Object.keys(this.limits);
    const [before] = (await runner.query(
      `SELECT ${names.map((name) => `@@SESSION.${name} AS ${name}`).join(', ')}`,
    )) as Limits[];
    await set(runner, this.limits);
    try {
      return await inTransaction(runner, work);
    } finally {
      // On a connection that was lost there is nothing to be set back.
      if (before !== undefined) await set(runner, before).catch(() => undefined);
    }
  }
}

/** The one of the two that this server has. */
async function statementLimit(runner: QueryRunner): Promise<Limits> {
  const known = Object.entries(STATEMENT_LIMITS);
  const found = (await runner.query(
    `SHOW SESSION VARIABLES WHERE Variable_name IN (${known.map(([name]) => `'${name}'`).join(', ')})`,
  )) as { Variable_name: string | Buffer }[];
  const names = new Set(found.map(({ Variable_name: name }) => name.toString()));
  return Object.fromEntries(known.filter(([name]) => names.has(name)));
}

async function set(runner: QueryRunner, limits: Limits): Promise<void> {
  const settings = Object.entries(limits).map(
    ([name, value]) => `SESSION ${name} = ${Number(value)}`,
  );
  await runner.query(`SET ${settings.join(', ')}`);
}
