import type { EntitySubscriberInterface, QueryRunner } from 'typeorm';
import { EventTransactionEndedError, EventTransactionFailedError } from '../errors.js';
import type { TransactionWatch } from '../store/store.js';
import { DamagedTransactions, type Damage } from './damaged-transactions.js';
import { StatementGate } from './statement-gate.js';
import { isOutermost } from './transaction-depth.js';

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
  readonly success: boolean;
  readonly error?: unknown;
  /** The driver's result; node-postgres names the command that was executed. */
  readonly rawResults?: { readonly command?: string };
}

interface HookEvent {
  readonly queryRunner: QueryRunner;
}

const EXPLANATIONS: Readonly<Record<Damage['kind'], string>> = {
  undone:
    'A deadlock, a lock wait timeout or an emit that the database refused was swallowed in this ' +
    'transaction: the database has undone all of it, or the statement, and would go on as if nothing had ' +
    'happened. No event of it is saved. Let the error through, and run the whole transaction again.',
  ended:
    'A statement has ended this transaction before its time: a COMMIT or ROLLBACK of your own or, on ' +
    'MariaDB and MySQL, one that commits by itself (CREATE, ALTER, DROP, TRUNCATE, LOCK TABLES and the ' +
    'like). What was written before it may be saved, events included, and a rollback does not undo ' +
    'that; what follows would be saved statement by statement. Send such statements outside of ' +
    'transactions that emit, and of transactional handlers.',
};

interface Hooks {
  /** Whether the database will turn the runner's COMMIT into a rollback. */
  isTransactionFailed(runner: QueryRunner): Promise<boolean>;
  /** Left out: the database refuses to go on where something is wrong, or says so itself. */
  readonly watch?: TransactionWatch | undefined;
  /** Asks the database; left out: nothing but the runner's own commit or rollback ends one. */
  readonly isTransactionOpen?: ((runner: QueryRunner) => Promise<boolean>) | undefined;
  /**
   * Called after the outermost commit of a transaction with emits. A hint: it may be lost. If it
   * returns a promise, the commit waits for it, and rejects with it.
   */
  onCommitted(): void | Promise<void>;
}

/**
 * Watches transactions through TypeORM's subscriber hooks, so that an emit is either part of its
 * transaction or rejects:
 *
 * - pending emits are awaited before a commit or rollback is sent (failure mode A4);
 * - from then on emits of that transaction reject (A4, A10);
 * - a commit that the database would turn into a rollback throws instead (A1);
 * - so do emits and the commit where the database has undone the transaction or a part of it, or
 *   refused an emit (A2, A3), or a statement has committed it, and the database would not say so;
 * - releasing a savepoint is not a commit (A6), and nothing here throws after one (A7).
 *
 * A window belongs to a query runner and lives from the first emit to the end of the outermost
 * transaction.
 */
export class EmitWindows implements EntitySubscriberInterface {
  private readonly windows = new WeakMap<QueryRunner, Window>();
  /** Undefined where the database itself refuses what follows on an error. */
  private readonly damaged: DamagedTransactions | undefined;
  private readonly gate: StatementGate;
  /** Of databases that are not watched. */
  private readonly committedEarly = new WeakSet<QueryRunner>();

  constructor(private readonly hooks: Hooks) {
    const { watch } = hooks;
    this.damaged = watch && new DamagedTransactions(watch);
    this.gate = new StatementGate(async (runner) => {
      await hooks.isTransactionOpen?.(runner);
    });
  }

  /**
   * Runs `write` as a part of the runner's transaction: its end is awaited by the commit.
   *
   * @throws EventTransactionEndedError if the transaction has ended, or has begun to
   * @throws EventTransactionFailedError if nothing can be saved in it any more
   */
  async track<T>(runner: QueryRunner, write: () => Promise<T>): Promise<T> {
    const window = this.open(runner);
    window.emitted = true;
    this.assertIntact(runner);
    const work = write();
    window.pending.add(work);
    try {
      return await work;
    } finally {
      window.pending.delete(work);
    }
  }

  /**
   * Writes the rows of an emit, within {@link track}.
   *
   * @throws EventTransactionFailedError if nothing can be saved in the transaction any more
   */
  async write<T>(runner: QueryRunner, append: () => Promise<T>): Promise<T> {
    const { damaged } = this;
    if (damaged === undefined) {
      await this.assertOpen(runner);
      return append();
    }
    return this.gate.alone(runner, async () => {
      await this.assertOpen(runner);
      try {
        const written = await append();
        this.assertIntact(runner);
        return written;
      } catch (error) {
        damaged.emitFailed(runner);
        throw error;
      }
    });
  }

  /** Asks the database only where what it has said does not tell already. */
  private async assertOpen(runner: QueryRunner): Promise<void> {
    if (this.damaged === undefined) {
      if ((await this.hooks.isTransactionOpen?.(runner)) !== false) return;
      this.committedEarly.add(runner);
      throw new EventTransactionFailedError(EXPLANATIONS.ended);
    }
    this.assertIntact(runner);
    if (!this.damaged.isDoubtful(runner)) return;
    // Its answer is noted like any other.
    await this.hooks.isTransactionOpen?.(runner);
    this.assertIntact(runner);
  }

  private assertIntact(runner: QueryRunner): void {
    const damage = this.damaged?.of(runner);
    if (damage !== undefined) throw new EventTransactionFailedError(EXPLANATIONS[damage.kind]);
  }

  /**
   * Whether what was written in the runner's transaction, or a part of it, may be committed although
   * the transaction has failed. To be asked after {@link settleDoubts} and the rollback.
   */
  wasCommittedEarly(runner: QueryRunner): boolean {
    return this.committedEarly.has(runner) || this.damaged?.wasCommittedEarly(runner) === true;
  }

  /** Before the rollback of a guarded transaction: finds out whether there is one to be rolled back. */
  async settleDoubts(runner: QueryRunner): Promise<void> {
    // Why not is known then, or the connection is lost: the server rolls back.
    await this.assertOpen(runner).catch(() => undefined);
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

  afterTransactionStart({ queryRunner }: HookEvent): void {
    if (isOutermost(queryRunner)) {
      this.windows.delete(queryRunner);
      this.committedEarly.delete(queryRunner);
    }
    this.damaged?.started(queryRunner);
  }

  async beforeTransactionCommit({ queryRunner }: HookEvent): Promise<void> {
    const window = await this.settle(queryRunner);
    if (window?.checked === true && isOutermost(queryRunner)) {
      await this.assertOpen(queryRunner);
      const failed = await this.hooks.isTransactionFailed(queryRunner);
      if (failed) throw new EventTransactionFailedError();
    }
  }

  async beforeTransactionRollback({ queryRunner }: HookEvent): Promise<void> {
    await this.settle(queryRunner);
  }

  afterTransactionRollback({ queryRunner }: HookEvent): void {
    this.damaged?.rolledBack(queryRunner);
  }

  beforeQuery({ queryRunner }: HookEvent): Promise<void> | undefined {
    if (this.damaged === undefined || !queryRunner.isTransactionActive) return undefined;
    return this.gate.before(queryRunner);
  }

  /**
   * The last word on A1 and A2: the failure may have come after the check above, of a statement that
   * nobody awaited. PostgreSQL answers the COMMIT of a failed transaction with "ROLLBACK"; others
   * commit nothing.
   */
  afterQuery(event: AfterQuery): Promise<never> | undefined {
    const { query, queryRunner, rawResults } = event;
    if (this.damaged !== undefined && queryRunner.isTransactionActive) {
      this.gate.after(queryRunner);
      this.note(event, this.damaged);
    }
    if (query !== 'COMMIT' || this.windows.get(queryRunner)?.checked !== true) return undefined;
    if (rawResults?.command === 'ROLLBACK')
      return Promise.reject(new EventTransactionFailedError());
    const damage = this.damaged?.of(queryRunner);
    if (damage?.whole !== true) return undefined;
    return Promise.reject(new EventTransactionFailedError(EXPLANATIONS[damage.kind]));
  }

  private note({ query, queryRunner, ...answer }: AfterQuery, damaged: DamagedTransactions): void {
    if (!answer.success) return damaged.failed(queryRunner, query, answer.error);
    // The runner's own end, not one that the application has sent as a text.
    const own = query === 'COMMIT' || query === 'ROLLBACK';
    if (own && this.windows.get(queryRunner)?.closed === true) return;
    damaged.answered(queryRunner, query, answer.rawResults);
  }

  afterTransactionCommit({ queryRunner }: HookEvent): void | Promise<void> {
    this.damaged?.committed(queryRunner);
    if (queryRunner.isTransactionActive) return undefined;
    if (this.windows.get(queryRunner)?.emitted !== true) return undefined;
    try {
      return this.hooks.onCommitted();
    } catch {
      // It is committed: an error here would make the caller do it all again (A7).
      return undefined;
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
