import type { DataSource } from 'typeorm';
import { errorText } from '../common/error-text.js';
import type { ActiveTransaction } from '../emit/active-transaction.js';
import type { Causation } from '../emit/causation.js';
import type { EmitWindows } from '../emit/emit-window.js';
import { ShuttingDownError } from '../errors.js';
import { RetryJob, type DeliveryJobData, type JobDelivery } from '../queue/event-queue.js';
import type { DeliverySignal, Signals } from '../observability/signals.js';
import type { DeliveryRef, DeliveryState, EventStore, LoggedEvent } from '../store/event-store.js';
import { afterFailure, runAttempt } from './attempt.js';
import type { DeliveryMarks } from './delivery-marks.js';
import { createHandlerContext } from './handler-context.js';
import type { HandlerDefinition } from './handler-definition.js';
import type { HandlerDirectory } from './handler-directory.js';
import { toDomainEvent } from './to-domain-event.js';

/** How long a delivery waits that this process has no handler for. */
const PARKED_MS = 15_000;
/** How long a delivery waits when the database could not be reached; half of it is chance. */
const POSTPONED_MS = 2_000;

/** What a {@link DeliveryExecutor} works with. */
export interface DeliveryExecutorParts {
  readonly dataSource: DataSource;
  readonly store: EventStore;
  readonly directory: HandlerDirectory;
  readonly marks: DeliveryMarks;
  readonly transactions: ActiveTransaction;
  readonly windows: EmitWindows;
  readonly causation: Causation;
  readonly signals: Signals;
  readonly options: {
    readonly maxErrorBytes: number;
    /** Backoff where a handler's own can't be used. */
    readonly defaultDelay: (attempt: number) => number;
  };
}

interface Run {
  readonly handler: HandlerDefinition;
  readonly ref: DeliveryRef;
  readonly state: DeliveryState;
  readonly event: LoggedEvent;
  readonly attempt: number;
  readonly signal: DeliverySignal;
}

/** A transactional handler's delivery turned out to be done, by another run of its job. */
class Fenced extends Error {}

/** Runs deliveries: checks, runs the handler, marks the outcome in the database. */
export class DeliveryExecutor {
  private readonly shutdown = new AbortController();

  constructor(private readonly parts: DeliveryExecutorParts) {}

  /**
   * Processes a job. Resolves when nothing is left to do for it.
   *
   * @throws RetryJob when a delivery is to be tried again
   */
  async process(job: DeliveryJobData, queue: string): Promise<void> {
    let retryInMs: number | undefined;
    for (const delivery of job.deliveries) {
      const delay = await this.deliver(job.handler, delivery, queue);
      if (delay !== undefined) retryInMs = Math.min(delay, retryInMs ?? delay);
    }
    if (retryInMs !== undefined) throw new RetryJob(retryInMs);
  }

  /** Aborts the signals of all running handlers, and of those that start later. */
  abort(): void {
    this.shutdown.abort(new ShuttingDownError());
  }

  /** Returns ms to wait before another attempt; `undefined` when the delivery is done with. */
  private async deliver(
    handlerId: string,
    delivery: JobDelivery,
    queue: string,
  ): Promise<number | undefined> {
    const { position, epoch, event } = delivery;
    const ref = { position, epoch, handler: handlerId };
    const signal: DeliverySignal = {
      eventId: event?.eventId,
      event: event?.name,
      handler: handlerId,
      position,
    };
    const handler = this.parts.directory.findLocal(handlerId);
    if (handler === undefined) {
      this.parts.signals.publish('delivery.parked', { ...signal, queue, retryInMs: PARKED_MS });
      return PARKED_MS;
    }
    try {
      return await this.checkAndRun(handler, ref, event, signal);
    } catch (error) {
      if (!this.parts.store.isInfrastructureError(error)) throw error;
      return this.postpone(signal, error);
    }
  }

  private async checkAndRun(
    handler: HandlerDefinition,
    ref: DeliveryRef,
    inline: LoggedEvent | undefined,
    signal: DeliverySignal,
  ): Promise<number | undefined> {
    const state = await this.parts.marks.state(ref);
    const skip = reasonToSkip(state, ref);
    if (skip !== undefined || state === undefined) {
      this.parts.signals.publish('delivery.skipped', {
        ...signal,
        reason: skip ?? 'it does not exist',
      });
      return undefined;
    }
    const event = inline ?? (await this.parts.store.readEvents([ref.position]))[0];
    if (event === undefined) {
      this.parts.signals.publish('delivery.skipped', {
        ...signal,
        reason: 'its event is not in the log',
      });
      return undefined;
    }
    const attempt = state.attempts + 1;
    const full = { ...signal, eventId: event.eventId, event: event.name };
    return this.run({ handler, ref, state, event, attempt, signal: full });
  }

  private async run(run: Run): Promise<number | undefined> {
    const { handler, attempt, state, signal } = run;
    const started = performance.now();
    this.parts.signals.publish('delivery.started', {
      ...signal,
      attempt,
      maxAttempts: state.maxAttempts,
    });
    try {
      const completed = handler.transactional
        ? await this.runInTransaction(run)
        : await this.runAndMark(run);
      if (completed) {
        const durationMs = Math.round(performance.now() - started);
        this.parts.signals.publish('delivery.completed', { ...signal, attempt, durationMs });
      } else {
        this.parts.signals.publish('delivery.skipped', {
          ...signal,
          reason: 'it was done meanwhile',
        });
      }
      return undefined;
    } catch (error) {
      if (error instanceof MarkFailed) throw error.cause;
      return this.failed(run, error);
    }
  }

  private async runAndMark(run: Run): Promise<boolean> {
    await this.invoke(run, undefined);
    return markOutcome(() => this.parts.marks.complete(run.ref));
  }

  /**
   * Completion first, then the handler, in one transaction: the row's lock makes a second run of
   * the same job wait, and find it done. The commit is guarded like one with an emit.
   */
  private async runInTransaction(run: Run): Promise<boolean> {
    try {
      await this.parts.transactions.outside(() =>
        this.parts.dataSource.transaction(async (manager) => {
          const runner = manager.queryRunner;
          if (runner === undefined) throw new Error('a transaction without a query runner');
          const [claimed] = await this.parts.store.complete([run.ref], runner);
          if (claimed !== true) throw new Fenced();
          this.parts.windows.guard(runner);
          await this.invoke(run, manager);
        }),
      );
      return true;
    } catch (error) {
      if (error instanceof Fenced) return false;
      throw error;
    }
  }

  private async invoke(run: Run, manager: DataSource['manager'] | undefined): Promise<void> {
    const { handler, event, attempt, state, ref } = run;
    const domainEvent = toDomainEvent(event, ref.handler);
    await runAttempt(handler, this.shutdown.signal, (signal) => {
      const facts = { handlerId: handler.id, attempt, maxAttempts: state.maxAttempts, signal };
      const context = createHandlerContext(facts, manager);
      const work = () =>
        this.parts.causation.run(domainEvent, async () => handler.invoke(domainEvent, context));
      // A transactional handler's emits join its transaction; others have none around them.
      return manager === undefined ? this.parts.transactions.outside(work) : work();
    });
  }

  private async failed(run: Run, error: unknown): Promise<number | undefined> {
    const { handler, ref, state, attempt, signal } = run;
    if (this.shutdown.signal.aborted || this.parts.store.isInfrastructureError(error, 'handler')) {
      return this.postpone(signal, error);
    }
    const { maxAttempts } = state;
    const next = afterFailure(attempt, maxAttempts, error);
    const retryInMs = next.dead ? 0 : this.delayAfter(handler, attempt, error);
    const text = errorText(error, this.parts.options.maxErrorBytes);
    const recorded = await this.parts.marks.fail({
      ...ref,
      error: text,
      dead: next.dead,
      retryInMs,
    });
    if (!recorded) {
      this.parts.signals.publish('delivery.skipped', {
        ...signal,
        reason: 'it was done meanwhile',
      });
      return undefined;
    }
    const facts = { ...signal, attempt, maxAttempts, error };
    if (next.dead) {
      this.parts.signals.publish('delivery.dead', { ...facts, unrecoverable: next.unrecoverable });
      return undefined;
    }
    this.parts.signals.publish('delivery.failed', { ...facts, retryInMs });
    return retryInMs;
  }

  private delayAfter(handler: HandlerDefinition, attempt: number, error: unknown): number {
    try {
      return handler.delayAfter(attempt, error);
    } catch (invalid) {
      this.parts.signals.publish('backoff.invalid', { handler: handler.id, error: invalid });
      return this.parts.options.defaultDelay(attempt);
    }
  }

  private postpone(signal: DeliverySignal, error: unknown): number {
    const retryInMs = Math.round(POSTPONED_MS * (0.5 + Math.random() / 2));
    this.parts.signals.publish('delivery.postponed', { ...signal, retryInMs, error });
    return retryInMs;
  }
}

/** The handler has run, but its completion could not be marked: not the handler's failure. */
class MarkFailed extends Error {}

async function markOutcome(mark: () => Promise<boolean>): Promise<boolean> {
  try {
    return await mark();
  } catch (error) {
    throw new MarkFailed('completion could not be marked', { cause: error });
  }
}

function reasonToSkip(state: DeliveryState | undefined, ref: DeliveryRef): string | undefined {
  if (state === undefined) return 'it does not exist';
  if (state.status !== 'queued') return `it is ${state.status}`;
  if (state.epoch !== ref.epoch) return `it is queued in epoch ${state.epoch}, not ${ref.epoch}`;
  return undefined;
}
