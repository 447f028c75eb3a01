import { setMaxListeners } from 'node:events';
import { QueryFailedError } from 'typeorm';
import { errorText } from '../common/error-text.js';
import { ShuttingDownError } from '../errors.js';
import type { DeliverySignal, Signals } from '../observability/signals.js';
import {
  RetryJob,
  type DeliveryJob,
  type JobDelivery,
  type TakenJob,
} from '../queue/event-queue.js';
import type { DeliveryRef, DeliveryState, LoggedEvent } from '../store/event-store.js';
import type { Store } from '../store/store.js';
import { afterFailure } from './attempt.js';
import { ChunkTurns } from './chunk-turns.js';
import type { ResolveDelay } from './backoff.js';
import { ConnectionLosses } from './connection-losses.js';
import type { DeliveryMarks } from './delivery-marks.js';
import type { HandlerDefinition } from './handler-definition.js';
import type { HandlerDirectory } from './handler-directory.js';
import {
  CommittedEarly,
  NotTheHandler,
  type Attempt,
  type HandlerRunner,
} from './handler-runner.js';
import { settleLeftovers, type Leftover } from './leftovers.js';
import { ConnectionLost } from './lost-connection.js';
import type { Paces } from './paces.js';
import { harmless } from './thrown.js';
import { parkedMs, postponedMs, unmarkedMs } from './waits.js';

/** What a {@link DeliveryExecutor} works with. */
export interface DeliveryExecutorParts {
  readonly store: Store;
  readonly directory: HandlerDirectory;
  readonly marks: DeliveryMarks;
  readonly runner: HandlerRunner;
  readonly signals: Signals;
  readonly paces: Paces;
  /** Resolves if the database can be used; rejects within seconds, else. */
  readonly ping: () => Promise<unknown>;
  readonly push: (jobs: readonly DeliveryJob[]) => Promise<void>;
  readonly options: {
    readonly namespace: string;
    readonly maxErrorBytes: number;
    /** The default backoff, for where a handler's own can't be used. */
    readonly delayAfter: ResolveDelay;
  };
}

/** A delivery that a job carries. */
interface Work {
  readonly job: TakenJob;
  readonly delivery: JobDelivery;
  readonly turns: ChunkTurns;
}

/** Runs deliveries: checks whether they are to be run, and decides what follows from the outcome. */
export class DeliveryExecutor {
  private readonly shutdown = new AbortController();
  private readonly losses: ConnectionLosses;
  private draining = false;
  private onOutage: ((error: unknown) => void) | undefined;

  constructor(private readonly parts: DeliveryExecutorParts) {
    this.losses = new ConnectionLosses(parts.ping);
    // Every running handler listens; Node would warn of a leak from the 11th on.
    setMaxListeners(0, this.shutdown.signal);
  }

  /**
   * Processes a job. Resolves when nothing is left to do for it. Its handlers run one after the other;
   * what is read and marked for them is shared.
   *
   * @throws RetryJob when it is to be run again
   */
  async process(job: TakenJob): Promise<void> {
    const turns = new ChunkTurns();
    const outcomes: Leftover[] = [];
    const runs = job.data.deliveries.map(async (delivery, index) => {
      outcomes[index] = await this.deliver({ job, delivery, turns });
    });
    const all = Promise.all(runs);
    await Promise.race([all, turns.over]);
    turns.close();
    // Nothing waits for one that still runs.
    const early = await this.settle(job, outcomes.splice(0), turns);
    await all;
    const late = await this.settle(job, outcomes, turns);
    if (early !== undefined || late !== undefined) {
      throw new RetryJob(Math.min(early ?? Infinity, late ?? Infinity));
    }
  }

  private async settle(
    job: TakenJob,
    outcomes: readonly Leftover[],
    turns: ChunkTurns,
  ): Promise<number | undefined> {
    const { store, push, options } = this.parts;
    const { namespace } = options;
    try {
      return await settleLeftovers(job, outcomes, () => turns.fitting(), {
        namespace,
        store,
        push,
      });
    } catch (error) {
      // A part of it may have been done; running the job again does the rest.
      if (store.isInfrastructureError(error)) this.report(error);
      return postponedMs(this.draining ? 0 : job.earlierRuns);
    }
  }

  /**
   * The process is shutting down: what handlers need may be gone before they are. From now on a
   * failure costs no attempt.
   */
  drain(): void {
    this.draining = true;
  }

  /** Calls the listener with each error that says that the database can't be used. One listener. */
  listenForOutages(listener: (error: unknown) => void): void {
    this.onOutage = listener;
  }

  /** Aborts the signals of all running handlers, and of those that start later. */
  abort(): void {
    this.shutdown.abort(new ShuttingDownError());
  }

  private async deliver(work: Work): Promise<Leftover> {
    const { job, delivery } = work;
    const { position, epoch, event } = delivery;
    const ref = { position, epoch, handler: job.data.handler };
    const { eventId, name } = event ?? {};
    const signal: DeliverySignal = { eventId, event: name, handler: ref.handler, position };
    try {
      const state = await this.parts.marks.state(ref);
      if (state === undefined) return this.skip(signal, 'it does not exist');
      const reason = reasonToSkip(state, ref);
      if (reason !== undefined) return this.skip(signal, reason);
      if (state.chunk !== (job.data.chunk ?? null)) {
        this.skip(signal, 'it belongs to another job');
        return { kind: 'moved', chunk: state.chunk };
      }
      // Looked for after the state was read: jobs of a retired handler end, though its code is gone.
      const handler = this.parts.directory.findLocal(ref.handler);
      if (handler === undefined) return this.park(signal, job);
      return await this.readAndRun(
        { handler, ref, state, earlierRuns: job.earlierRuns },
        work,
        signal,
      );
    } catch (error) {
      // Not the handler's: the database could not be asked, or refused. BullMQ never sees it.
      // (What handlers throw tells nothing here: it may be about a database of their own.)
      const { store } = this.parts;
      if (store.isInfrastructureError(error) && !store.isContention(error)) this.report(error);
      return this.postpone(signal, error, job.earlierRuns);
    }
  }

  private async readAndRun(
    run: Omit<Attempt, 'event' | 'number'>,
    { job, delivery, turns }: Work,
    signal: DeliverySignal,
  ): Promise<Leftover> {
    const event = await this.eventOf(run.state, delivery.event);
    if (event === undefined) return this.skip(signal, 'its event is not in the log');
    const full = { ...signal, eventId: event.eventId, event: event.name };
    // During a deployment another process has a handler of this id that takes it (B8).
    if (!run.handler.events.includes(event.name)) return this.park(full, job);
    const endTurn = await turns.take();
    if (endTurn === undefined) return { kind: 'late' };
    try {
      return await this.run({ ...run, event, number: run.state.attempts + 1 }, full, endTurn);
    } finally {
      endTurn();
    }
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

  /** @param onHandled called when the handler has ended, and only its marks are missing */
  private async run(
    attempt: Attempt,
    signal: DeliverySignal,
    onHandled: () => void,
  ): Promise<Leftover> {
    const { number, state } = attempt;
    const started = performance.now();
    const { maxAttempts } = state;
    this.parts.signals.publish('delivery.started', { ...signal, attempt: number, maxAttempts });
    try {
      const completed = await this.parts.runner.run(attempt, this.shutdown.signal, () => {
        onHandled();
        this.parts.paces.record(attempt.handler.id, performance.now() - started);
      });
      this.losses.forget(nameOf(attempt.ref));
      if (!completed) return this.skip(signal, 'it was done meanwhile');
      const durationMs = Math.round(performance.now() - started);
      this.parts.signals.publish('delivery.completed', { ...signal, attempt: number, durationMs });
      return undefined;
    } catch (thrown) {
      const error = harmless(thrown);
      if (error instanceof NotTheHandler) {
        return this.unmarked(signal, error.cause, attempt.earlierRuns);
      }
      return this.failed(attempt, signal, error);
    }
  }

  private async failed(
    { handler, ref, state, number, earlierRuns }: Attempt,
    signal: DeliverySignal,
    thrown: unknown,
  ): Promise<Leftover> {
    const early = thrown instanceof CommittedEarly;
    const error = early ? harmless(thrown.cause) : thrown;
    // What is committed is no outage's doing.
    if (!early && !(await this.costsAttempt(ref, error)))
      return this.postpone(signal, error, earlierRuns);
    const { maxAttempts } = state;
    const next = afterFailure(number, maxAttempts, error);
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
  private unmarked(signal: DeliverySignal, error: unknown, earlierRuns: number): Leftover {
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

  private report(outage: unknown): void {
    if (!this.draining) this.onOutage?.(outage);
  }

  private park(signal: DeliverySignal, { queue, earlierRuns }: TakenJob): Leftover {
    const retryInMs = parkedMs(earlierRuns);
    this.parts.signals.publish('delivery.parked', { ...signal, queue, retryInMs });
    return { kind: 'postponed', inMs: retryInMs };
  }

  private postpone(signal: DeliverySignal, error: unknown, earlierRuns: number): Leftover {
    // Another process is to take over soon what a shutdown has cut off.
    const retryInMs = postponedMs(this.draining ? 0 : earlierRuns);
    this.parts.signals.publish('delivery.postponed', { ...signal, retryInMs, error });
    return { kind: 'postponed', inMs: retryInMs };
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

function nameOf({ position, handler, epoch }: DeliveryRef): string {
  return `${position} ${handler} ${epoch}`;
}
