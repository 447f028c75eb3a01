import type { DataSource, QueryRunner } from 'typeorm';
import { pause } from '../../common/time-limit.js';
import { inTransaction, StoreConnection } from '../connection.js';
import type { Statement } from '../statement.js';
import { Autocommit } from './autocommit.js';
import { isLockConflict } from './mysql.errors.js';
import { SessionLimits } from './session-limits.js';
import { decodeRow, toParameters } from './sql-text.js';

/** How often a transaction of ours is tried again after a deadlock or a lock wait timeout. */
const MAX_RETRIES = 5;
/** Before the first retry, in ms; doubled each time, and half of it left to chance. */
const FIRST_RETRY_MS = 10;
/** None is begun later than this: a lock wait timeout has taken its time already. */
const RETRY_FOR_MS = 15_000;

/**
 * Runs the library's own statements on MySQL and MariaDB. Their engines roll back one of two
 * transactions that wait for each other; ours are then simply run again.
 */
export class MysqlConnection {
  private readonly connection: StoreConnection;
  private readonly limits = new SessionLimits();
  private readonly autocommit = new Autocommit();

  constructor(dataSource: DataSource) {
    this.connection = new StoreConnection(dataSource);
  }

  /** A SELECT on its own. Where the session doesn't commit by itself, in a transaction. */
  query<Row>(statement: Statement, limitMs?: number): Promise<Row[]> {
    const run = (runner: QueryRunner) => execute<Row>(runner, statement);
    return this.use(
      (runner, bare) => (bare ? run(runner) : inTransaction(runner, () => run(runner))),
      limitMs,
    );
  }

  /** A short transaction, READ COMMITTED; `work` may be called several times. */
  transaction<T>(work: (runner: QueryRunner) => Promise<T>): Promise<T> {
    return this.use((runner) => inTransaction(runner, () => work(runner)));
  }

  /** A write on its own, as {@link transaction}. */
  async write(statement: Statement): Promise<void> {
    await this.transaction((runner) => execute(runner, statement));
  }

  /** A transaction whose locks the server frees if this process is stopped in the middle of it. */
  limitedTransaction<T>(work: (runner: QueryRunner) => Promise<T>): Promise<T> {
    return this.use((runner) => this.limits.transaction(runner, () => work(runner)));
  }

  /** `bare`: a statement without a transaction is one. */
  private use<T>(
    work: (runner: QueryRunner, bare: boolean) => Promise<T>,
    limitMs?: number,
  ): Promise<T> {
    return retried(() =>
      this.connection.use(
        async (runner) => work(runner, !(await this.autocommit.isOff(runner))),
        limitMs,
      ),
    );
  }
}

/** Runs a SELECT; any other statement returns no rows. */
export async function execute<Row>(
  runner: QueryRunner,
  { text, values }: Statement,
): Promise<Row[]> {
  const result: unknown = await runner.query(text, toParameters(values));
  const rows = Array.isArray(result) ? (result as Record<string, unknown>[]) : [];
  return rows.map((row) => decodeRow(row) as Row);
}

async function retried<T>(work: () => Promise<T>): Promise<T> {
  const start = performance.now();
  for (let retry = 0; ; retry++) {
    try {
      return await work();
    } catch (error) {
      const late = performance.now() - start > RETRY_FOR_MS;
      if (retry === MAX_RETRIES || late || !isLockConflict(error)) throw error;
      await pause(FIRST_RETRY_MS * 2 ** retry * (0.5 + Math.random() / 2));
    }
  }
}
