import { setMaxListeners } from 'node:events';
import { errorText } from '../common/error-text.js';
import { ShuttingDownError } from '../errors.js';
import type { DeliverySignal, Signals } from '../observability/signals.js';
import { RetryJob, type DeliveryJobData, type JobDelivery } from '../queue/event-queue.js';
import type { DeliveryRef, DeliveryState, EventStore, LoggedEvent } from '../store/event-store.js';
import { afterFailure } from './attempt.js';
import type { ResolveDelay } from './backoff.js';
import type { DeliveryMarks } from './delivery-marks.js';
import type { HandlerDefinition } from './handler-definition.js';
import type { HandlerDirectory } from './handler-directory.js';
import { NotTheHandler, type Attempt, type HandlerRunner } from './handler-runner.js';
import { harmless } from './thrown.js';

/**
 * How long a delivery waits that this process has no handler for: shortly at first, because during a
 * deployment another process has it, then twice as long each time up to the maximum.
 */
const PARKED_MS = 250;
const MAX_PARKED_MS = 15_000;
/** How long a delivery waits when the database could not be reached; half of it is chance. */
const POSTPONED_MS = 2_000;

/** What a {@link DeliveryExecutor} works with. */
export interface DeliveryExecutorParts {
  readonly store: EventStore;
  readonly directory: HandlerDirectory;
  readonly marks: DeliveryMarks;
  readonly runner: HandlerRunner;
  readonly signals: Signals;
  readonly options: {
    readonly maxErrorBytes: number;
    /** The default backoff, for where a handler's own can't be used. */
    readonly delayAfter: ResolveDelay;
  };
}

/** Runs deliveries: checks whether they are to be run, and decides what follows from the outcome. */
export class DeliveryExecutor {
  private readonly shutdown = new AbortController();
  private draining = false;

  constructor(private readonly parts: DeliveryExecutorParts) {
    // Every running handler listens; Node would warn of a leak from the 11th on.
    setMaxListeners(0, this.shutdown.signal);
  }

  /**
   * Processes a job. Resolves when nothing is left to do for it.
   *
   * @param queue the queue it came from
   * @param earlierRuns how often this job was to be run again already
   * @throws RetryJob when a delivery is to be tried again
   */
  async process(job: DeliveryJobData, queue: string, earlierRuns: number): Promise<void> {
    let retryInMs: number | undefined;
    for (const delivery of job.deliveries) {
      const delay = await this.deliver(job.handler, delivery, queue, earlierRuns);
      if (delay !== undefined) retryInMs = Math.min(delay, retryInMs ?? delay);
    }
    if (retryInMs !== undefined) throw new RetryJob(retryInMs);
  }

  /**
   * The process is shutting down: what handlers need may be gone before they are. From now on a
   * failure costs no attempt.
   */
  drain(): void {
    this.draining = true;
  }

  /** Aborts the signals of all running handlers, and of those that start later. */
  abort(): void {
    this.shutdown.abort(new ShuttingDownError());
  }

  /** Returns ms to wait before another attempt; `undefined` when the delivery is done with. */
  private async deliver(
    handlerId: string,
    { position, epoch, event }: JobDelivery,
    queue: string,
    earlierRuns: number,
  ): Promise<number | undefined> {
    const ref = { position, epoch, handler: handlerId };
    const { eventId, name } = event ?? {};
    const signal: DeliverySignal = { eventId, event: name, handler: handlerId, position };
    const handler = this.parts.directory.findLocal(handlerId);
    if (handler === undefined) {
      const retryInMs = Math.min(PARKED_MS * 2 ** Math.min(earlierRuns, 10), MAX_PARKED_MS);
      this.parts.signals.publish('delivery.parked', { ...signal, queue, retryInMs });
      return retryInMs;
    }
    try {
      return await this.checkAndRun(handler, ref, event, signal);
    } catch (error) {
      // Not the handler's: the database could not be asked, or refused. BullMQ never sees it.
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
    if (state === undefined) return this.skip(signal, 'it does not exist');
    const reason = reasonToSkip(state, ref);
    if (reason !== undefined) return this.skip(signal, reason);
    const event = await this.eventOf(state, inline);
    if (event === undefined) return this.skip(signal, 'its event is not in the log');
    const full = { ...signal, eventId: event.eventId, event: event.name };
    return this.run({ handler, ref, state, event, number: state.attempts + 1 }, full);
  }

  /** The job's copy, unless the position was given to another event since (a restored database). */
  private async eventOf(
    state: DeliveryState,
    inline: LoggedEvent | undefined,
  ): Promise<LoggedEvent | undefined> {
    if (inline?.eventId === state.eventId) return inline;
    const [event] = await this.parts.store.readEvents([state.position]);
    return event;
  }

  private async run(attempt: Attempt, signal: DeliverySignal): Promise<number | undefined> {
    const { number, state } = attempt;
    const started = performance.now();
    const { maxAttempts } = state;
    this.parts.signals.publish('delivery.started', { ...signal, attempt: number, maxAttempts });
    try {
      const completed = await this.parts.runner.run(attempt, this.shutdown.signal);
      if (!completed) return this.skip(signal, 'it was done meanwhile');
      const durationMs = Math.round(performance.now() - started);
      this.parts.signals.publish('delivery.completed', { ...signal, attempt: number, durationMs });
      return undefined;
    } catch (thrown) {
      const error = harmless(thrown);
      if (error instanceof NotTheHandler) throw error.cause;
      return this.failed(attempt, signal, error);
    }
  }

  private async failed(
    { handler, ref, state, number }: Attempt,
    signal: DeliverySignal,
    error: unknown,
  ): Promise<number | undefined> {
    if (this.draining || this.parts.store.isInfrastructureError(error, 'handler')) {
      return this.postpone(signal, error);
    }
    const { maxAttempts } = state;
    const next = afterFailure(number, maxAttempts, error);
    const retryInMs = next.dead ? 0 : this.delayAfter(handler, number, error);
    const recorded = await this.parts.marks.fail({
      ...ref,
      attempt: number,
      error: errorText(error, this.parts.options.maxErrorBytes),
      dead: next.dead,
      retryInMs,
    });
    if (!recorded) return this.skip(signal, 'it was done meanwhile');
    const facts = { ...signal, attempt: number, maxAttempts, error };
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
      return this.defaultDelayAfter(attempt, error);
    }
  }

  private defaultDelayAfter(attempt: number, error: unknown): number {
    try {
      return this.parts.options.delayAfter(attempt, error);
    } catch {
      return POSTPONED_MS; // The module's own default is a function that fails too.
    }
  }

  private postpone(signal: DeliverySignal, error: unknown): number {
    const retryInMs = Math.round(POSTPONED_MS * (0.5 + Math.random() / 2));
    this.parts.signals.publish('delivery.postponed', { ...signal, retryInMs, error });
    return retryInMs;
  }

  private skip(signal: DeliverySignal, reason: string): undefined {
    this.parts.signals.publish('delivery.skipped', { ...signal, reason });
  }
}

function reasonToSkip(state: DeliveryState, ref: DeliveryRef): string | undefined {
  if (state.status !== 'queued') return `it is ${state.status}`;
  if (state.epoch !== ref.epoch) return `it is queued in epoch ${state.epoch}, not ${ref.epoch}`;
  return undefined;
}
