import { randomUUID } from 'node:crypto';
import { QueueUnavailableError } from '../errors.js';
import type { Signals } from '../observability/signals.js';
import type { EventQueue } from '../queue/event-queue.js';
import type { EventStore } from '../store/event-store.js';
import { countKnown, type DeliveryPusher } from './delivery-pusher.js';
import { WholeChunks } from './whole-chunks.js';

/** Deliveries read and pushed at a time; so few that a page takes far less than a take-over. */
const PAGE = 500;
/** A refill by another process that has made no progress for so long is taken over. */
const TAKE_OVER_MS = 10_000;
const REFILLING = 'refilling-';

/**
 * Notices that the queue was wiped (FLUSHALL, a Redis without persistence that was restarted) or is
 * another one, and pushes all that is queued again, without waiting for each delivery's rescue.
 *
 * The queue holds a generation mark beside its jobs; the database holds the same one. While they
 * are equal, there is nothing to do. If not, one process begins a new generation: it writes
 * `refilling-<generation>-<page>` to the database, marks the queue, pushes page by page, and at last,
 * if its mark is still there, writes the bare generation to the database.
 *
 * - The mark is left before the first page and never after it, so none can hide a later wipe.
 * - Every write to the database expects what was there before. So one of several begins, whoever was
 *   taken over stops at the next page, and a refill that stands still is one that nobody is at.
 * - Whoever dies on the way leaves the database refilling, and another process does it all again.
 *   Pushing twice does no harm, a job that exists is left as it is.
 */
export class QueueWatch {
  private running: Promise<void> | undefined;
  private stopped = false;
  /** What the database held when it was last read or written. */
  private known: string | undefined;
  /** The last generation that this process began. */
  private own: { readonly generation: string; marked: boolean } | undefined;
  private foreign: { readonly state: string; readonly since: number } | undefined;

  constructor(
    private readonly store: EventStore,
    private readonly queue: EventQueue,
    private readonly pusher: DeliveryPusher,
    private readonly signals: Signals,
  ) {}

  /** Starts a check unless one is running; never rejects. */
  trigger(): void {
    if (this.running !== undefined || this.stopped) return;
    this.running = this.guardedCheck().finally(() => {
      this.running = undefined;
    });
  }

  /** Ends after the page under way. Idempotent. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.running;
  }

  /** One look; pushes everything again if it must. */
  async check(): Promise<void> {
    const seen = await this.queue.generation();
    if (seen !== undefined && seen === this.known) return;
    const state = await this.store.queueGeneration();
    this.known = state;
    // Read after the database: a mark read before may be older than what another process has done.
    const mark = await this.queue.generation();
    if (mark !== undefined && mark === state) return;
    if (state === undefined || !state.startsWith(REFILLING)) {
      await this.begin(state, state !== undefined);
    } else if (this.own !== undefined && state.startsWith(refilling(this.own.generation))) {
      await this.begin(state, this.own.marked && mark === undefined);
    } else if (this.standsStill(state)) {
      await this.begin(state, false);
    }
  }

  /** @param wiped a mark is gone that was there; where none was left yet, nothing new was lost */
  private async begin(from: string | undefined, wiped: boolean): Promise<void> {
    const own = { generation: randomUUID(), marked: false };
    const state = refilling(own.generation, 0);
    this.own = own;
    if (!(await this.store.changeQueueGeneration(from, state, wiped))) return;
    if (wiped) this.signals.publish('queue.wiped', { target: this.queue.description });
    await this.queue.mark(own.generation);
    own.marked = true;
    const deliveries = await this.refill(own.generation, state);
    // Before the very first generation nothing can have been lost.
    if (deliveries > 0 && from !== undefined) {
      this.signals.publish('queue.refilled', { target: this.queue.description, deliveries });
    }
  }

  /** Returns the number of deliveries; 0 if it did not come to its end. */
  private async refill(generation: string, begun: string): Promise<number> {
    let deliveries = 0;
    let state = begun;
    let from: string | undefined;
    const chunks = new WholeChunks(this.store);
    for (let pages = 1; ; pages++) {
      const page = await this.store.queuedDeliveries(PAGE, from);
      const handlers = await this.store.handlers();
      const whole = await chunks.of(page.deliveries, handlers);
      const jobs = this.pusher.refillJobs(whole, handlers);
      await this.pusher.push(jobs);
      // Those of the second pass were counted in the first.
      if (!page.again) deliveries += countKnown(page.deliveries, handlers);
      from = page.next;
      // Stopped, or wiped again: a next check, here or elsewhere, begins anew.
      if (this.stopped || (await this.queue.generation()) !== generation) return 0;
      const next = from === undefined ? generation : refilling(generation, pages);
      // Taken over by another process.
      if (!(await this.store.changeQueueGeneration(state, next, false))) return 0;
      state = next;
      if (from === undefined) {
        this.known = generation;
        return deliveries;
      }
    }
  }

  /** Whether another process's refill was there long ago just as it is now. */
  private standsStill(state: string): boolean {
    const now = performance.now();
    if (this.foreign?.state !== state) this.foreign = { state, since: now };
    return now - this.foreign.since >= TAKE_OVER_MS;
  }

  private async guardedCheck(): Promise<void> {
    try {
      await this.check();
    } catch (error) {
      // The queue's health tells of an outage, once.
      if (!(error instanceof QueueUnavailableError)) {
        this.signals.publish('rescue.failed', { error });
      }
    }
  }
}

function refilling(generation: string, page?: number): string {
  return `${REFILLING}${generation}-${page ?? ''}`;
}
