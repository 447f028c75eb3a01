import type { EntitySubscriberInterface, QueryRunner } from 'typeorm';
import { EventTransactionEndedError, EventTransactionFailedError } from '../errors.js';

/** What is known of the open transaction of one query runner. */
interface Window {
  readonly pending: Set<Promise<unknown>>;
  /** An event was written: the commit wakes the relay. */
  emitted: boolean;
  /** Something of ours was written: the commit must be checked. */
  checked: boolean;
  closed: boolean;
}

interface AfterQuery {
  readonly query: string;
  readonly queryRunner: QueryRunner;
  /** The driver's result; node-postgres names the command that was executed. */
  readonly rawResults?: { readonly command?: string };
}

interface Hooks {
  /** Whether the database will turn the runner's COMMIT into a rollback. */
  isTransactionFailed(runner: QueryRunner): Promise<boolean>;
  /** Called after the outermost commit of a transaction with emits. A hint: it may be lost. */
  onCommitted(): void;
}

/**
 * Watches transactions through TypeORM's subscriber hooks, so that an emit is either part of its
 * transaction or rejects:
 *
 * - pending emits are awaited before a commit or rollback is sent (failure mode A4);
 * - from then on emits of that transaction reject (A4, A10);
 * - a commit that the database would turn into a rollback throws instead (A1);
 * - releasing a savepoint is not a commit (A6), and nothing here throws after one (A7).
 *
 * A window belongs to a query runner and lives from the first emit to the end of the outermost
 * transaction.
 */
export class EmitWindows implements EntitySubscriberInterface {
  private readonly windows = new WeakMap<QueryRunner, Window>();

  constructor(private readonly hooks: Hooks) {}

  /**
   * Runs `write` as a part of the runner's transaction: its end is awaited by the commit.
   *
   * @throws EventTransactionEndedError if the transaction has ended, or has begun to
   */
  async track<T>(runner: QueryRunner, write: () => Promise<T>): Promise<T> {
    const window = this.open(runner);
    window.emitted = true;
    const work = write();
    window.pending.add(work);
    try {
      return await work;
    } finally {
      window.pending.delete(work);
    }
  }

  /**
   * For a runner without an open transaction.
   *
   * @throws EventTransactionEndedError if it had one
   */
  assertNotEnded(runner: QueryRunner): void {
    if (this.windows.get(runner)?.closed === true) throw new EventTransactionEndedError();
  }

  /** Makes the runner's commit checked, as if something had been emitted (transactional handlers). */
  guard(runner: QueryRunner): void {
    this.open(runner);
  }

  private open(runner: QueryRunner): Window {
    if (runner.isReleased || !runner.isTransactionActive) throw new EventTransactionEndedError();
    let window = this.windows.get(runner);
    if (window === undefined) {
      window = { pending: new Set(), emitted: false, checked: true, closed: false };
      this.windows.set(runner, window);
    }
    if (window.closed) throw new EventTransactionEndedError();
    return window;
  }

  afterTransactionStart({ queryRunner }: { queryRunner: QueryRunner }): void {
    if (isOutermost(queryRunner)) this.windows.delete(queryRunner);
  }

  async beforeTransactionCommit({ queryRunner }: { queryRunner: QueryRunner }): Promise<void> {
    const window = await this.settle(queryRunner);
    if (window?.checked === true && isOutermost(queryRunner)) {
      const failed = await this.hooks.isTransactionFailed(queryRunner);
      if (failed) throw new EventTransactionFailedError();
    }
  }

  async beforeTransactionRollback({ queryRunner }: { queryRunner: QueryRunner }): Promise<void> {
    await this.settle(queryRunner);
  }

  /**
   * The last word on A1: PostgreSQL answers the COMMIT of a failed transaction with "ROLLBACK". The
   * failure may have come after the check above, of a statement that nobody awaited.
   */
  afterQuery({ query, queryRunner, rawResults }: AfterQuery): Promise<never> | undefined {
    if (query !== 'COMMIT' || rawResults?.command !== 'ROLLBACK') return undefined;
    if (this.windows.get(queryRunner)?.checked !== true) return undefined;
    return Promise.reject(new EventTransactionFailedError());
  }

  afterTransactionCommit({ queryRunner }: { queryRunner: QueryRunner }): void {
    if (queryRunner.isTransactionActive) return;
    if (this.windows.get(queryRunner)?.emitted !== true) return;
    try {
      this.hooks.onCommitted();
    } catch {
      // It is committed: an error here would make the caller do it all again (A7).
    }
  }

  /** Awaits what is being written; at the outermost level also closes the window. */
  private async settle(runner: QueryRunner): Promise<Window | undefined> {
    const window = this.windows.get(runner);
    while (window !== undefined && window.pending.size > 0) {
      await Promise.allSettled(window.pending);
    }
    if (!isOutermost(runner)) return window;
    if (window === undefined) {
      // Remembered although nothing was emitted: a first emit that comes while the COMMIT is on
      // its way would be executed after it, alone.
      this.windows.set(runner, {
        pending: new Set(),
        emitted: false,
        checked: false,
        closed: true,
      });
      return undefined;
    }
    window.closed = true;
    return window;
  }
}

/** Whether the runner's next commit or rollback ends the transaction, not a savepoint. */
export function isOutermost(runner: QueryRunner): boolean {
  // TypeORM keeps the depth in a protected field: 1 inside the outermost transaction. Its own
  // commitTransaction() decides by it between COMMIT and RELEASE SAVEPOINT.
  return (runner as unknown as { transactionDepth: number }).transactionDepth <= 1;
}
