import type { DataSource, EntityManager } from 'typeorm';
import { Semaphore } from '../common/semaphore.js';
import type { ActiveTransaction } from '../emit/active-transaction.js';
import type { Causation } from '../emit/causation.js';
import { isOutermost, type EmitWindows } from '../emit/emit-window.js';
import type { DeliveryRef, DeliveryState, EventStore, LoggedEvent } from '../store/event-store.js';
import { abandonTransaction } from './abandon-transaction.js';
import { runAttempt } from './attempt.js';
import type { DeliveryMarks } from './delivery-marks.js';
import { createHandlerContext } from './handler-context.js';
import type { HandlerDefinition } from './handler-definition.js';
import { toDomainEvent } from './to-domain-event.js';

/** One attempt to handle a delivery. */
export interface Attempt {
  readonly handler: HandlerDefinition;
  readonly ref: DeliveryRef;
  readonly state: DeliveryState;
  readonly event: LoggedEvent;
  /** Its number, from 1. */
  readonly number: number;
}

/** What a {@link HandlerRunner} works with. */
export interface HandlerRunnerParts {
  readonly dataSource: DataSource;
  readonly store: EventStore;
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
   * @throws what the handler threw, or {@link NotTheHandler}
   */
  run(attempt: Attempt, shutdown: AbortSignal): Promise<boolean> {
    return attempt.handler.transactional
      ? this.transactionPermits.run(() => this.runInTransaction(attempt, shutdown))
      : this.runAndMark(attempt, shutdown);
  }

  private async runAndMark(attempt: Attempt, shutdown: AbortSignal): Promise<boolean> {
    await this.invoke(attempt, shutdown, undefined);
    try {
      return await this.parts.marks.complete(attempt.ref);
    } catch (error) {
      throw new NotTheHandler(error);
    }
  }

  /**
   * Completion first, then the handler, in one transaction: the row's lock makes a second run of
   * the same job wait, and find it done. The commit is guarded like one with an emit.
   */
  private async runInTransaction(attempt: Attempt, shutdown: AbortSignal): Promise<boolean> {
    let fromHandler = false;
    const work = async (manager: EntityManager) => {
      const runner = manager.queryRunner;
      if (runner === undefined) throw new Error('a transaction without a query runner');
      const [claimed] = await this.parts.store.complete([attempt.ref], runner);
      if (claimed !== true) throw new Fenced();
      this.parts.windows.guard(runner);
      try {
        await this.invoke(attempt, shutdown, manager);
        // TypeORM's commit would only end that one, and give the connection back with ours open.
        if (!runner.isReleased && !isOutermost(runner)) throw new Error(OPEN_NESTED);
      } catch (error) {
        if (runner.isReleased) throw new NotTheHandler(error); // Its connection went away under it.
        fromHandler = true;
        await abandonTransaction(runner);
        throw error;
      }
      if (runner.isReleased) throw new NotTheHandler(new Error('the connection was lost'));
    };
    try {
      await this.parts.transactions.outside(() => this.parts.dataSource.transaction(work));
      return true;
    } catch (error) {
      if (fromHandler) throw error;
      if (error instanceof Fenced) return false;
      if (this.parts.store.isInfrastructureError(error)) throw new NotTheHandler(error);
      throw error;
    }
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
