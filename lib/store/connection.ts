import type { DataSource, QueryRunner } from 'typeorm';
import type { Statement } from './statement.js';

/**
 * Runs the library's own statements: always on a master connection (never a read replica) and
 * never on a connection of the caller's.
 */
export class StoreConnection {
  constructor(private readonly dataSource: DataSource) {}

  /** One statement on its own. */
  query<Row>(statement: Statement): Promise<Row[]> {
    return this.use((runner) => execute<Row>(runner, statement));
  }

  /** One UPDATE … RETURNING on its own. */
  update<Row>(statement: Statement): Promise<Row[]> {
    return this.use((runner) => executeUpdate<Row>(runner, statement));
  }

  /**
   * A short transaction. READ COMMITTED, whatever the application's default is: each statement
   * must see what other processes have committed before it.
   */
  transaction<T>(work: (runner: QueryRunner) => Promise<T>): Promise<T> {
    return this.use(async (runner) => {
      await runner.startTransaction('READ COMMITTED');
      try {
        const result = await work(runner);
        await runner.commitTransaction();
        return result;
      } catch (error) {
        // The first error tells more than that of a rollback on a dead connection.
        if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined);
        throw error;
      }
    });
  }

  private async use<T>(work: (runner: QueryRunner) => Promise<T>): Promise<T> {
    const runner = this.dataSource.createQueryRunner('master');
    try {
      return await work(runner);
    } finally {
      await runner.release();
    }
  }
}

export function execute<Row>(runner: QueryRunner, { text, values }: Statement): Promise<Row[]> {
  return runner.query(text, values) as Promise<Row[]>;
}

/** Like {@link execute}, for UPDATE … RETURNING: TypeORM answers `[rows, count]` there. */
export async function executeUpdate<Row>(
  runner: QueryRunner,
  { text, values }: Statement,
): Promise<Row[]> {
  const result = (await runner.query(text, values, true)) as { records: Row[] };
  return result.records;
}
