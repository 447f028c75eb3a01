import type { DeliverySignal, Signals } from '../observability/signals.js';
import {
  RetryJob,
  type DeliveryJob,
  type JobDelivery,
  type TakenJob,
} from '../queue/event-queue.js';
import type { DeliveryRef, DeliveryState, LoggedEvent } from '../store/event-store.js';
import type { Store } from '../store/store.js';
import { ChunkTurns } from './chunk-turns.js';
import type { DeliveryMarks } from './delivery-marks.js';
import type { DeliveryOutcomes } from './delivery-outcomes.js';
import { DeliveryRuns } from './delivery-runs.js';
import { freshState } from './fresh-state.js';
import type { HandlerDirectory } from './handler-directory.js';
import type { Attempt, HandlerRunner } from './handler-runner.js';
import { settleLeftovers, type Leftover } from './leftovers.js';
import type { Paces } from './paces.js';

/** What a {@link DeliveryExecutor} works with. */
export interface DeliveryExecutorParts {
  readonly namespace: string;
  readonly rescueAfterMs: number;
  readonly store: Store;
  readonly directory: HandlerDirectory;
  readonly marks: DeliveryMarks;
  readonly runner: HandlerRunner;
  readonly outcomes: DeliveryOutcomes;
  readonly signals: Signals;
  readonly paces: Paces;
  readonly push: (jobs: readonly DeliveryJob[]) => Promise<void>;
}

/** A delivery that a job carries. */
interface Work {
  readonly job: TakenJob;
  readonly delivery: JobDelivery;
  readonly turns: ChunkTurns;
}

/** Runs the deliveries of jobs that are to be run. */
export class DeliveryExecutor {
  private readonly handlerRuns: DeliveryRuns;

  constructor(private readonly parts: DeliveryExecutorParts) {
    this.handlerRuns = new DeliveryRuns(parts);
  }

  /**
   * Processes a job. Resolves when nothing is left to do for it. Its handlers run one after the other;
   * what is read and marked for them is shared.
   *
   * @throws RetryJob when it is to be run again
   */
  async process(job: TakenJob): Promise<void> {
    // Batches that wait would keep all others waiting, and get nothing more.
    if (job.crowded === true) this.handlerRuns.flushSoon();
    const turns = new ChunkTurns();
    // With holes, where a run has not ended.
    const outcomes: Leftover[] = [];
    const runs = job.data.deliveries.map(async (delivery, index) => {
      outcomes[index] = await this.deliver({ job, delivery, turns });
    });
    const all = Promise.all(runs);
    await Promise.race([all, turns.over]);
    turns.close();
    // Nothing waits for one that still runs.
    const first = await this.settle(job, outcomes.splice(0), turns);
    await all;
    const last = await this.settle(job, outcomes, turns);
    if (first !== undefined || last !== undefined) {
      throw new RetryJob(Math.min(first ?? Infinity, last ?? Infinity));
    }
  }

  private async settle(
    job: TakenJob,
    outcomes: readonly Leftover[],
    turns: ChunkTurns,
  ): Promise<number | undefined> {
    try {
      return await settleLeftovers(job, outcomes, () => turns.fitting(), this.parts);
    } catch (error) {
      // A part of it may have been done; running the job again does the rest.
      return this.parts.outcomes.unsettled(job, error);
    }
  }

  /**
   * The process is shutting down: what handlers need may be gone before they are. From now on a
   * failure costs no attempt.
   */
  drain(): void {
    this.parts.outcomes.drain();
    this.hurry();
  }

  /** From now on no batch waits for more events than are there. */
  hurry(): void {
    this.handlerRuns.hurry();
  }

  /** Calls the listener with each error that says that the database can't be used. One listener. */
  listenForOutages(listener: (error: unknown) => void): void {
    this.parts.outcomes.listenForOutages(listener);
  }

  /** Aborts the signals of all running handlers, and of those that start later. */
  abort(): void {
    this.handlerRuns.abort();
  }

  /** Whatever still runs is left behind: what the database does not take is not tried again. */
  close(): void {
    this.parts.marks.close();
  }

  private async deliver(work: Work): Promise<Leftover> {
    const { job, delivery } = work;
    const { position, epoch, event } = delivery;
    const ref = { position, epoch, handler: job.data.handler };
    const { eventId, name } = event ?? {};
    const signal: DeliverySignal = { eventId, event: name, handler: ref.handler, position };
    const { outcomes } = this.parts;
    try {
      const state = await this.stateOf(ref, work);
      if (state === undefined) return outcomes.skip(signal, 'it does not exist');
      const reason = reasonToSkip(state, ref);
      if (reason !== undefined) return outcomes.skip(signal, reason);
      if (state.chunk !== (job.data.chunk ?? null)) {
        outcomes.skip(signal, 'it belongs to another job');
        return { kind: 'moved', chunk: state.chunk };
      }
      // Looked for after the state was read: jobs of a retired handler end, though its code is gone.
      const handler = this.parts.directory.findLocal(ref.handler);
      if (handler === undefined) return outcomes.park(signal, job);
      return await this.readAndRun(
        { handler, ref, state, earlierRuns: job.earlierRuns },
        work,
        signal,
      );
    } catch (error) {
      return outcomes.interrupted(signal, error, job.earlierRuns);
    }
  }

  private stateOf(
    ref: DeliveryRef,
    { job, delivery }: Work,
  ): DeliveryState | undefined | Promise<DeliveryState | undefined> {
    // Handlers that are not here may be retired.
    const isLocal = this.parts.directory.findLocal(ref.handler) !== undefined;
    const { rescueAfterMs } = this.parts;
    const now = performance.now();
    const fresh = isLocal ? freshState(ref, delivery, job, rescueAfterMs, now) : undefined;
    return fresh ?? this.parts.marks.state(ref);
  }

  private async readAndRun(
    run: Omit<Attempt, 'event' | 'number'>,
    { job, delivery, turns }: Work,
    signal: DeliverySignal,
  ): Promise<Leftover> {
    const isBatch = run.handler.batch !== undefined;
    // Before the event is read: large ones come from the log, and only those that are run are needed.
    const endTurn = isBatch ? () => undefined : await turns.take();
    if (endTurn === undefined) return { kind: 'late' };
    const { outcomes } = this.parts;
    try {
      const event = await this.eventOf(run.state, delivery.event);
      if (event === undefined) return outcomes.skip(signal, 'its event is not in the log');
      const full = { ...signal, eventId: event.eventId, event: event.name };
      // During a deployment another process has a handler of this id that takes it (B8).
      if (!run.handler.events.includes(event.name)) return outcomes.park(full, job);
      const attempt = { ...run, event, number: run.state.attempts + 1 };
      const runnable = { attempt, signal: full };
      if (isBatch) return await this.handlerRuns.runInBatch(runnable, job.crowded);
      return await this.handlerRuns.run(runnable, endTurn);
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
    return this.parts.marks.event(state.position);
  }
}

function reasonToSkip(state: DeliveryState, ref: DeliveryRef): string | undefined {
  if (state.status !== 'queued') return `it is ${state.status}`;
  if (state.epoch !== ref.epoch) return `it is queued in epoch ${state.epoch}, not ${ref.epoch}`;
  return undefined;
}
