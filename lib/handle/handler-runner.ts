import type { EntityManager } from 'typeorm';
import type { ActiveTransaction } from '../emit/active-transaction.js';
import type { Causation } from '../emit/causation.js';
import type { DeliveryRef, DeliveryState, LoggedEvent } from '../store/event-store.js';
import type { Store } from '../store/store.js';
import { runAttempt } from './attempt.js';
import { failuresOf } from './batch-result.js';
import type { DeliveryMarks } from './delivery-marks.js';
import { createHandlerContext } from './handler-context.js';
import type { HandlerDefinition } from './handler-definition.js';
import { NotTheHandler, type HandlerTransactions } from './handler-transactions.js';
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
  readonly store: Store;
  readonly marks: DeliveryMarks;
  readonly transactions: ActiveTransaction;
  readonly handlerTransactions: HandlerTransactions;
  readonly causation: Causation;
}

/** What a batch handler has made of one of its events. */
export type BatchOutcome =
  { readonly completed: boolean } | { readonly error: unknown } | 'rolled back';

/** Runs handlers, and completes their deliveries: after them, or in one transaction with them. */
export class HandlerRunner {
  constructor(private readonly parts: HandlerRunnerParts) {}

  /**
   * Resolves once the delivery is completed: true by this run, false by another one.
   *
   * @param shutdown aborts the handler's signal
   * @param onHandled called when the handler has ended well, and at most its completion is to be marked
   * @throws what the handler threw, or {@link NotTheHandler}, or {@link CommittedEarly}
   */
  async run(attempt: Attempt, shutdown: AbortSignal, onHandled: () => void): Promise<boolean> {
    const { handlerTransactions, store } = this.parts;
    if (!attempt.handler.transactional) {
      await this.invoke([attempt], shutdown, undefined);
      onHandled();
      return this.complete(attempt.ref);
    }
    // Completion first: a second run of the same job can't lock the row, and is postponed.
    const completed = await handlerTransactions.run({
      claim: async (runner) => (await store.complete([attempt.ref], runner))[0] === true,
      handle: async (manager) => void (await this.invoke([attempt], shutdown, manager)),
    });
    onHandled();
    return completed;
  }

  /**
   * Runs a batch handler once for several deliveries; what it reports as failed is left to the caller.
   * A transactional one's deliveries are completed at the end of its transaction, when it is known
   * which: if another run has one of them done already, everything is rolled back.
   *
   * @throws what the handler threw: then nothing is completed; or {@link NotTheHandler}, or
   *   {@link CommittedEarly}
   */
  async runBatch(attempts: readonly Attempt[], shutdown: AbortSignal): Promise<BatchOutcome[]> {
    const [first] = attempts as readonly [Attempt];
    const { handlerTransactions, store } = this.parts;
    let failures = new Map<string, unknown>();
    const handle = async (manager?: EntityManager) => {
      const returned = await this.invoke(attempts, shutdown, manager);
      failures = failuresOf(returned, new Set(attempts.map(({ event }) => event.eventId)));
    };
    const handled = () => attempts.filter(({ event }) => !failures.has(event.eventId));
    if (!first.handler.transactional) {
      await handle();
      const marks = new Map(handled().map(({ ref }) => [ref, this.complete(ref)]));
      await Promise.all(marks.values());
      return Promise.all(
        attempts.map(async ({ ref, event }) => {
          const completed = await marks.get(ref);
          return completed === undefined ? { error: failures.get(event.eventId) } : { completed };
        }),
      );
    }
    const committed = await handlerTransactions.run({
      handle,
      complete: async (runner) => {
        const refs = handled().map(({ ref }) => ref);
        return refs.length === 0 || (await store.complete(refs, runner)).every(Boolean);
      },
    });
    if (!committed) return attempts.map(() => 'rolled back');
    return attempts.map(({ event }) =>
      failures.has(event.eventId) ? { error: failures.get(event.eventId) } : { completed: true },
    );
  }

  private async complete(ref: DeliveryRef): Promise<boolean> {
    try {
      return await this.parts.marks.complete(ref);
    } catch (error) {
      throw new NotTheHandler(error);
    }
  }

  private async invoke(
    attempts: readonly Attempt[],
    shutdown: AbortSignal,
    manager: EntityManager | undefined,
  ): Promise<unknown> {
    const [{ handler, number }] = attempts as readonly [Attempt];
    const events = attempts.map(({ event, ref }) => toDomainEvent(event, ref.handler));
    const [only] = events as [(typeof events)[0]];
    let returned: unknown;
    await runAttempt(handler, shutdown, async (signal) => {
      const maxAttempts = Math.min(...attempts.map(({ state }) => state.maxAttempts));
      const shared = events.length > 1;
      const facts = { handlerId: handler.id, attempt: number, maxAttempts, shared };
      const context = createHandlerContext(facts, signal, manager);
      const invoke = async () => {
        returned = await handler.invoke(handler.batch === undefined ? only : events, context);
      };
      // What a handler of several events emits has no single cause.
      const caused = () =>
        events.length === 1 ? this.parts.causation.run(only, invoke) : invoke();
      // A transactional handler's emits join its transaction; others have none around them.
      return manager === undefined ? this.parts.transactions.outside(caused) : caused();
    });
    return returned;
  }
}
