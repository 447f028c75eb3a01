import { QueryFailedError } from 'typeorm';
import { errorText } from '../common/error-text.js';
import type { DeliverySignal, Signals } from '../observability/signals.js';
import type { TakenJob } from '../queue/event-queue.js';
import type { DeliveryRef } from '../store/event-store.js';
import type { Store } from '../store/store.js';
import { afterFailure, type AfterFailure } from './attempt.js';
import type { ResolveDelay } from './backoff.js';
import { ConnectionLosses } from './connection-losses.js';
import type { DeliveryMarks } from './delivery-marks.js';
import type { HandlerDefinition } from './handler-definition.js';
import type { Attempt } from './handler-runner.js';
import { CommittedEarly } from './handler-transactions.js';
import type { Leftover } from './leftovers.js';
import { ConnectionLost } from './lost-connection.js';
import { harmless } from './thrown.js';
import { parkedMs, postponedMs, unmarkedMs } from './waits.js';

const AGAIN: AfterFailure = { dead: false };

/** What {@link DeliveryOutcomes} work with. */
export interface DeliveryOutcomesParts {
  readonly store: Store;
  readonly marks: DeliveryMarks;
  readonly signals: Signals;
  /** Resolves if the database can be used; rejects within seconds, else. */
  readonly ping: () => Promise<unknown>;
  readonly options: {
    readonly maxErrorBytes: number;
    /** The default backoff, for where a handler's own can't be used. */
    readonly delayAfter: ResolveDelay;
  };
}

/** Decides what follows from a run of a delivery, writes it down and tells of it. */
export class DeliveryOutcomes {
  private readonly losses: ConnectionLosses;
  private draining = false;
  private onOutage: ((error: unknown) => void) | undefined;

  constructor(private readonly parts: DeliveryOutcomesParts) {
    this.losses = new ConnectionLosses(parts.ping);
  }

  /** From now on a failure costs no attempt. */
  drain(): void {
    this.draining = true;
  }

  /** Calls the listener with each error that says that the database can't be used. One listener. */
  listenForOutages(listener: (error: unknown) => void): void {
    this.onOutage = listener;
  }

  /** The handler has handled it, and by whom it was completed is known. */
  handled(
    { ref, number }: Attempt,
    signal: DeliverySignal,
    completed: boolean,
    ms: number,
  ): Leftover {
    this.losses.forget(nameOf(ref));
    if (!completed) return this.skip(signal, 'it was done meanwhile');
    const facts = { ...signal, attempt: number, durationMs: Math.round(ms) };
    this.parts.signals.publish('delivery.completed', facts);
    return undefined;
  }

  /**
   * A handler threw: the attempt is counted, unless it was the database's doing.
   *
   * @param shared with other events, in a batch: whose doing it was shows when each is tried alone. So
   *   none dies of it, not even where it was to be the only attempt
   */
  async failed(
    { handler, ref, state, number, earlierRuns }: Attempt,
    signal: DeliverySignal,
    thrown: unknown,
    shared = false,
  ): Promise<Leftover> {
    const early = thrown instanceof CommittedEarly;
    const error = early ? harmless(thrown.cause) : thrown;
    // What is committed is no outage's doing.
    if (!early && !(await this.costsAttempt(ref, error)))
      return this.postpone(signal, error, earlierRuns);
    const { maxAttempts } = state;
    const next = shared ? AGAIN : afterFailure(number, maxAttempts, error);
    const retryInMs = next.dead ? 0 : this.delayAfter(handler, number, error);
    const { maxErrorBytes } = this.parts.options;
    const text = errorText(error, maxErrorBytes);
    const failure = { ...ref, attempt: number, dead: next.dead, retryInMs };
    const { marks } = this.parts;
    let recorded: boolean;
    try {
      recorded = early
        ? await marks.failCompleted({
            ...failure,
            error: errorText(`${thrown.message}\n${text}`, maxErrorBytes),
          })
        : await marks.fail({ ...failure, error: text });
    } catch (unwritten) {
      return this.unmarked(signal, unwritten, earlierRuns);
    }
    if (!recorded) return this.skip(signal, 'it was done meanwhile');
    const facts = { ...signal, attempt: number, maxAttempts, error };
    if (next.dead) {
      this.parts.signals.publish('delivery.dead', { ...facts, unrecoverable: next.unrecoverable });
      return undefined;
    }
    this.parts.signals.publish('delivery.failed', { ...facts, retryInMs });
    return { kind: 'failed', inMs: retryInMs };
  }

  /**
   * The handler has run, and the database has refused to write down what became of it.
   *
   * @throws the error, where it is an outage's or a contention's
   */
  unmarked(signal: DeliverySignal, error: unknown, earlierRuns: number): Leftover {
    const { store } = this.parts;
    if (store.isInfrastructureError(error) || store.isContention(error)) throw error;
    const retryInMs = unmarkedMs(earlierRuns);
    this.parts.signals.publish('delivery.unmarked', { ...signal, retryInMs, error });
    return { kind: 'postponed', inMs: retryInMs };
  }

  private async costsAttempt(ref: DeliveryRef, error: unknown): Promise<boolean> {
    if (this.draining) return false;
    const { store } = this.parts;
    const lost = error instanceof ConnectionLost ? error.cause : error;
    const fromDatabase = lost !== error || error instanceof QueryFailedError;
    const loss = fromDatabase ? store.connectionLoss(lost) : undefined;
    if (loss === undefined) {
      this.losses.forget(nameOf(ref));
      return !store.isInfrastructureError(error, 'handler');
    }
    const verdict = await this.losses.judge(nameOf(ref), loss);
    if (verdict === 'outage') this.report(lost);
    return verdict === 'counts' && !this.draining;
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
      return postponedMs(0); // The module's own default is a function that fails too.
    }
  }

  report(outage: unknown): void {
    if (!this.draining) this.onOutage?.(outage);
  }

  /** The database could not be asked, or refused. BullMQ never sees it. */
  interrupted(signal: DeliverySignal, error: unknown, earlierRuns: number): Leftover {
    // (What handlers throw tells nothing here: it may be about a database of their own.)
    const { store } = this.parts;
    if (store.isInfrastructureError(error) && !store.isContention(error)) this.report(error);
    return this.postpone(signal, error, earlierRuns);
  }

  /** Another run had a part of its batch done already; the rest is to be run without that. */
  again(signal: DeliverySignal, earlierRuns: number): Leftover {
    return this.postpone(
      signal,
      new Error('another run has completed a part of its batch'),
      earlierRuns,
    );
  }

  /** What a job has left could not be given to others. Returns in how many ms it is to be run again. */
  unsettled({ data, earlierRuns }: TakenJob, error: unknown): number {
    if (this.parts.store.isInfrastructureError(error)) this.report(error);
    const retryInMs = postponedMs(this.draining ? 0 : earlierRuns);
    const { handler, deliveries } = data;
    const position = deliveries[0]?.position ?? 0;
    const signal = { eventId: undefined, event: undefined, handler, position };
    this.parts.signals.publish('delivery.postponed', { ...signal, retryInMs, error });
    return retryInMs;
  }

  park(signal: DeliverySignal, { queue, earlierRuns }: TakenJob): Leftover {
    const retryInMs = parkedMs(earlierRuns);
    this.parts.signals.publish('delivery.parked', { ...signal, queue, retryInMs });
    return { kind: 'postponed', inMs: retryInMs };
  }

  postpone(signal: DeliverySignal, error: unknown, earlierRuns: number): Leftover {
    // Another process is to take over soon what a shutdown has cut off.
    const retryInMs = postponedMs(this.draining ? 0 : earlierRuns);
    this.parts.signals.publish('delivery.postponed', { ...signal, retryInMs, error });
    return { kind: 'postponed', inMs: retryInMs };
  }

  skip(signal: DeliverySignal, reason: string): undefined {
    this.parts.signals.publish('delivery.skipped', { ...signal, reason });
  }
}

function nameOf({ position, handler, epoch }: DeliveryRef): string {
  return `${position} ${handler} ${epoch}`;
}
