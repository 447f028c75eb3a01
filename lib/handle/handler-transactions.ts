import { QueryFailedError, type DataSource, type EntityManager, type QueryRunner } from 'typeorm';
import { Semaphore } from '../common/semaphore.js';
import type { ActiveTransaction } from '../emit/active-transaction.js';
import type { EmitWindows } from '../emit/emit-window.js';
import { isOutermost } from '../emit/transaction-depth.js';
import type { Store } from '../store/store.js';
import { abandonTransaction } from './abandon-transaction.js';
import { ConnectionLost, watchConnection, type ConnectionWatch } from './lost-connection.js';

interface Parts {
  readonly dataSource: DataSource;
  readonly store: Store;
  readonly transactions: ActiveTransaction;
  readonly windows: EmitWindows;
  /** Transactional handlers at once: each holds a connection of the application's pool. */
  readonly maxTransactions: number;
}

/** What is done in a handler's transaction. */
export interface TransactionSteps {
  /** Before the handler. False: there is nothing to do, and everything is rolled back. */
  claim?(runner: QueryRunner): Promise<boolean>;
  handle(manager: EntityManager): Promise<void>;
  /** After the handler. False: it was in vain, and everything is rolled back. */
  complete?(runner: QueryRunner): Promise<boolean>;
}

/** The database failed around the handler: while its transaction or its completion was written. */
export class NotTheHandler extends Error {
  constructor(override readonly cause: unknown) {
    super('the database could not be reached');
  }
}

/**
 * A statement of the handler's has committed its transaction, with the completion where that came first,
 * before the attempt failed with the cause.
 */
export class CommittedEarly extends Error {
  constructor(override readonly cause: unknown) {
    super(
      'A statement of the handler has committed its transaction before the attempt failed: what the ' +
        'handler had written until then is saved.',
    );
  }
}

const NO_CONNECTION =
  'the handler returned without the connection of its transaction: it must not release it';
const OPEN_NESTED = 'the handler returned while a nested transaction of it was open: await it';

/** A delivery turned out to be done, by another run of its job. */
class Fenced extends Error {}

/** Runs handlers in transactions together with the completion of what they handle. */
export class HandlerTransactions {
  private readonly permits: Semaphore;

  constructor(private readonly parts: Parts) {
    this.permits = new Semaphore(parts.maxTransactions);
  }

  /**
   * Resolves once everything is committed, to true; or to false when a step said so. The commit is
   * guarded like one with an emit.
   *
   * @throws what the handler threw, or {@link NotTheHandler}, or {@link CommittedEarly}
   */
  run(steps: TransactionSteps): Promise<boolean> {
    return this.permits.run(() => this.transact(steps));
  }

  private async transact(steps: TransactionSteps): Promise<boolean> {
    let fromHandler = false;
    let connection: ConnectionWatch | undefined;
    let guarded: QueryRunner | undefined;
    const { windows } = this.parts;
    const work = async (manager: EntityManager) => {
      const runner = manager.queryRunner;
      if (runner === undefined) throw new Error('a transaction without a query runner');
      // From the first statement to the commit: a loss may come right after any answer.
      connection = await watchConnection(runner);
      if ((await steps.claim?.(runner)) === false) throw new Fenced();
      windows.guard(runner);
      guarded = runner;
      try {
        await steps.handle(manager);
        if (runner.isReleased || connection.lost() !== undefined) throw new Error(NO_CONNECTION);
        // TypeORM's commit would only end that one, and give the connection back with ours open.
        if (!isOutermost(runner)) throw new Error(OPEN_NESTED);
      } catch (error) {
        fromHandler = true;
        if (!runner.isReleased) {
          await windows.settleDoubts(runner);
          await abandonTransaction(runner, this.parts.store.sharesRunner);
        }
        throw this.lossOr(error, connection.lost());
      }
      if ((await steps.complete?.(runner)) === false) throw new Fenced();
    };
    try {
      await this.parts.transactions.outside(() => this.parts.dataSource.transaction(work));
      return true;
    } catch (error) {
      if (guarded !== undefined && windows.wasCommittedEarly(guarded)) {
        throw new CommittedEarly(error);
      }
      if (fromHandler) throw error;
      if (error instanceof Fenced) return false;
      const lost = connection?.lost();
      if (lost !== undefined) throw new NotTheHandler(lost);
      if (this.parts.store.isInfrastructureError(error)) throw new NotTheHandler(error);
      throw error;
    } finally {
      connection?.stop();
    }
  }

  /** What the handler threw, unless that only follows from the loss of its connection. */
  private lossOr(thrown: unknown, lost: Error | undefined): unknown {
    // The server's own words came with the statement, and only then the connection's end.
    const told = thrown instanceof QueryFailedError && this.parts.store.connectionLoss(thrown);
    return lost === undefined || told === 'ended' ? thrown : new ConnectionLost(lost);
  }
}
