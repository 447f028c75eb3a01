import { QueryFailedError, type DataSource, type EntityManager, type QueryRunner } from 'typeorm';
import { Semaphore } from '../common/semaphore.js';
import type { ActiveTransaction } from '../emit/active-transaction.js';
import type { Causation } from '../emit/causation.js';
import type { EmitWindows } from '../emit/emit-window.js';
import { isOutermost } from '../emit/transaction-depth.js';
import type { DeliveryRef, DeliveryState, LoggedEvent } from '../store/event-store.js';
import type { Store } from '../store/store.js';
import { abandonTransaction } from './abandon-transaction.js';
import { runAttempt } from './attempt.js';
import type { DeliveryMarks } from './delivery-marks.js';
import { createHandlerContext } from './handler-context.js';
import type { HandlerDefinition } from './handler-definition.js';
import { ConnectionLost, watchConnection, type ConnectionWatch } from './lost-connection.js';
import { toDomainEvent } from './to-domain-event.js';

/** One attempt to handle a delivery. */
export interface Attempt {
  readonly handler: HandlerDefinition;
  readonly ref: DeliveryRef;
  readonly state: DeliveryState;
  readonly event: LoggedEvent;
  /** Its number, from 1. */
  readonly number: number;
  /** How often its job was to be run again already. */
  readonly earlierRuns: number;
}

/** What a {@link HandlerRunner} works with. */
export interface HandlerRunnerParts {
  readonly dataSource: DataSource;
  readonly store: Store;
  readonly marks: DeliveryMarks;
  readonly transactions: ActiveTransaction;
  readonly windows: EmitWindows;
  readonly causation: Causation;
  /** Transactional handlers at once: each holds a connection of the application's pool. */
  readonly maxTransactions: number;
}

/** The database failed around the handler: while its transaction or its completion was written. */
export class NotTheHandler extends Error {
  constructor(override readonly cause: unknown) {
    super('the database could not be reached');
  }
}

/**
 * A statement of the handler's has committed its transaction, the completion included, before the
 * attempt failed with the cause.
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

/** A transactional handler's delivery turned out to be done, by another run of its job. */
class Fenced extends Error {}

/** Runs handlers, and completes their deliveries: after them, or in one transaction with them. */
export class HandlerRunner {
  private readonly transactionPermits: Semaphore;

  constructor(private readonly parts: HandlerRunnerParts) {
    this.transactionPermits = new Semaphore(parts.maxTransactions);
  }

  /**
   * Resolves once the delivery is completed: true by this run, false by another one.
   *
   * @param shutdown aborts the handler's signal
   * @param onHandled called when the handler has ended well, and at most its completion is to be marked
   * @throws what the handler threw, or {@link NotTheHandler}, or {@link CommittedEarly}
   */
  run(attempt: Attempt, shutdown: AbortSignal, onHandled: () => void): Promise<boolean> {
    return attempt.handler.transactional
      ? this.transactionPermits.run(() => this.runInTransaction(attempt, shutdown, onHandled))
      : this.runAndMark(attempt, shutdown, onHandled);
  }

  private async runAndMark(
    attempt: Attempt,
    shutdown: AbortSignal,
    onHandled: () => void,
  ): Promise<boolean> {
    await this.invoke(attempt, shutdown, undefined);
    onHandled();
    try {
      return await this.parts.marks.complete(attempt.ref);
    } catch (error) {
      throw new NotTheHandler(error);
    }
  }

  /**
   * Completion first, then the handler, in one transaction: a second run of the same job can't lock
   * the row, and is postponed. The commit is guarded like one with an emit.
   */
  private async runInTransaction(
    attempt: Attempt,
    shutdown: AbortSignal,
    onHandled: () => void,
  ): Promise<boolean> {
    let fromHandler = false;
    let connection: ConnectionWatch | undefined;
    let guarded: QueryRunner | undefined;
    const { windows } = this.parts;
    const work = async (manager: EntityManager) => {
      const runner = manager.queryRunner;
      if (runner === undefined) throw new Error('a transaction without a query runner');
      // From the first statement to the commit: a loss may come right after any answer.
      connection = await watchConnection(runner);
      const [claimed] = await this.parts.store.complete([attempt.ref], runner);
      if (claimed !== true) throw new Fenced();
      windows.guard(runner);
      guarded = runner;
      try {
        await this.invoke(attempt, shutdown, manager);
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
    };
    try {
      await this.parts.transactions.outside(() => this.parts.dataSource.transaction(work));
      onHandled();
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

  private async invoke(
    { handler, event, number, state, ref }: Attempt,
    shutdown: AbortSignal,
    manager: EntityManager | undefined,
  ): Promise<void> {
    const domainEvent = toDomainEvent(event, ref.handler);
    await runAttempt(handler, shutdown, (signal) => {
      const { maxAttempts } = state;
      const facts = { handlerId: handler.id, attempt: number, maxAttempts, signal };
      const context = createHandlerContext(facts, manager);
      const work = () =>
        this.parts.causation.run(domainEvent, async () => handler.invoke(domainEvent, context));
      // A transactional handler's emits join its transaction; others have none around them.
      return manager === undefined ? this.parts.transactions.outside(work) : work();
    });
  }
}
