import type { Socket } from 'node:net';
import type { DataSource, QueryRunner } from 'typeorm';
import type { Statement } from './statement.js';

/**
 * What takes longer is given up with its connection, in ms: that may only seem to be open (C14), and
 * TCP would notice after a quarter of an hour. Counts from when the connection is there: the pool
 * has limits of its own. A server that is at work on the statement, or waits for a lock with it, goes
 * on with it all the same; so this is far more than what the library's statements need.
 */
const ANSWER_LIMIT_MS = 60_000;

/**
 * Runs the library's own statements: always on a master connection (never a read replica) and
 * never on a connection of the caller's.
 */
export class StoreConnection {
  constructor(
    private readonly dataSource: DataSource,
    private readonly limitMs = ANSWER_LIMIT_MS,
  ) {}

  /** One statement on its own. */
  query<Row>(statement: Statement, limitMs?: number): Promise<Row[]> {
    return this.use((runner) => execute<Row>(runner, statement), limitMs);
  }

  /**
   * A short transaction. READ COMMITTED, whatever the application's default is: each statement
   * must see what other processes have committed before it.
   */
  transaction<T>(work: (runner: QueryRunner) => Promise<T>): Promise<T> {
    return this.use((runner) => inTransaction(runner, () => work(runner)));
  }

  /** A connection for a while. */
  async use<T>(
    work: (runner: QueryRunner) => Promise<T>,
    limitMs: number = this.limitMs,
  ): Promise<T> {
    const runner = this.dataSource.createQueryRunner('master');
    try {
      return await limited(runner, () => work(runner), limitMs);
    } finally {
      await runner.release();
    }
  }
}

/** Closes the runner's connection if `work` on it has not ended within the limit: it rejects then. */
export async function limited<T>(
  runner: QueryRunner,
  work: () => Promise<T>,
  limitMs = ANSWER_LIMIT_MS,
): Promise<T> {
  await runner.connect();
  const timer = setTimeout(() => closeConnection(runner, limitMs), limitMs);
  // A driver may never end what was under way when its pool was closed (mysql2).
  timer.unref();
  try {
    return await work();
  } finally {
    clearTimeout(timer);
  }
}

/** The driver's connection: of node-postgres it holds the socket, of mysql2 it has it itself. */
interface DriverConnection {
  readonly connection?: { readonly stream?: Socket };
  readonly stream?: Socket;
}

function closeConnection(runner: QueryRunner, limitMs: number): void {
  // TypeORM's own field: its connect() is asynchronous.
  const { databaseConnection } = runner as { databaseConnection?: DriverConnection };
  const socket = databaseConnection?.connection?.stream ?? databaseConnection?.stream;
  socket?.destroy(new Error(`connection terminated: no answer in ${limitMs} ms`));
}

/** Runs `work` in a transaction of the runner's, as {@link StoreConnection.transaction} does. */
export async function inTransaction<T>(runner: QueryRunner, work: () => Promise<T>): Promise<T> {
  await runner.startTransaction('READ COMMITTED');
  try {
    const result = await work();
    await runner.commitTransaction();
    return result;
  } catch (error) {
    // The first error tells more than that of a rollback on a dead connection.
    if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined);
    throw error;
  }
}

export function execute<Row>(runner: QueryRunner, { text, values }: Statement): Promise<Row[]> {
  return runner.query(text, values) as Promise<Row[]>;
}
