import { setMaxListeners } from 'node:events';
import { Batcher } from '../common/batcher.js';
import { pause } from '../common/time-limit.js';
import type {
  DeliveryRef,
  DeliveryState,
  FailedAttempt,
  LoggedEvent,
} from '../store/event-store.js';
import type { Store } from '../store/store.js';

/** Statements under way at once: the next batch gathers while they run. */
const LIMITS = { maxItems: 500, concurrency: 2 };
/** Of events that are too large for a job: so few that a statement's answer stays small. */
const LARGE = { maxItems: 25, concurrency: 2 };
/** Waits before a completion that the database could not take is tried again, in ms. */
const RETRY_DELAYS_MS = [50, 250, 1_000, 2_000];

/**
 * Reads and marks of deliveries, grouped: those of concurrent jobs share one statement and one
 * commit. A completion is tried again for a few seconds while the database is out of reach, because
 * the handler has run already. A failure is not: it may come from the outage, and must not be counted
 * once that is over.
 */
export class DeliveryMarks {
  private readonly states: Batcher<DeliveryRef, DeliveryState | undefined>;
  private readonly events: Batcher<number, LoggedEvent | undefined>;
  private readonly completions: Batcher<DeliveryRef, boolean>;
  private readonly failures: Batcher<FailedAttempt, boolean>;
  private readonly closed = new AbortController();

  constructor(
    private readonly store: Store,
    private readonly rescueAfterMs: number,
  ) {
    this.states = new Batcher((refs) => store.deliveryStates(refs), LIMITS);
    this.events = new Batcher((positions) => this.readEvents(positions), LARGE);
    this.completions = new Batcher((refs) => this.persistently(() => store.complete(refs)), LIMITS);
    this.failures = new Batcher((attempts) => store.fail(attempts, rescueAfterMs), LIMITS);
    // Everything that waits listens.
    setMaxListeners(0, this.closed.signal);
  }

  /** The application is about to close its DataSource: what waits to be marked is tried once more, now. */
  close(): void {
    this.closed.abort();
  }

  state(ref: DeliveryRef): Promise<DeliveryState | undefined> {
    return this.states.add(ref);
  }

  /** Undefined: the log has none there. */
  event(position: number): Promise<LoggedEvent | undefined> {
    return this.events.add(position);
  }

  /** False: it was not queued in this epoch any more. */
  complete(ref: DeliveryRef): Promise<boolean> {
    return this.completions.add(ref);
  }

  /** False: it was not queued in this epoch any more. */
  fail(attempt: FailedAttempt): Promise<boolean> {
    return this.failures.add(attempt);
  }

  /**
   * The same for an attempt whose completion was committed before it failed: takes that back. Tried
   * again like a completion, because nobody runs a delivery that is completed.
   */
  async failCompleted(attempt: FailedAttempt): Promise<boolean> {
    const { store, rescueAfterMs } = this;
    const taken = await this.persistently(async () => store.uncomplete?.(attempt, rescueAfterMs));
    // It may have been rolled back after all.
    return taken === true || this.fail(attempt);
  }

  private async readEvents(positions: readonly number[]): Promise<(LoggedEvent | undefined)[]> {
    const events = await this.store.readEvents([...new Set(positions)]);
    const byPosition = new Map(events.map((event) => [event.position, event]));
    return positions.map((position) => byPosition.get(position));
  }

  private async persistently<T>(mark: () => Promise<T>): Promise<T> {
    for (const delay of RETRY_DELAYS_MS) {
      try {
        return await mark();
      } catch (error) {
        if (!this.store.isInfrastructureError(error)) throw error;
        await pause(delay, this.closed.signal);
        if (this.closed.signal.aborted) break;
      }
    }
    return mark();
  }
}
