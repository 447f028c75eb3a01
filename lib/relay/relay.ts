import { AsyncLocalStorage } from 'node:async_hooks';
import { pause } from '../common/time-limit.js';
import type { Signals } from '../observability/signals.js';
import { toRepeatedJob } from '../queue/delivery-job.js';
import type { DeliveryJob } from '../queue/event-queue.js';
import type { EventStore, RelayLimits } from '../store/event-store.js';
import { countDeliveries, type DeliveryPusher } from './delivery-pusher.js';
import { UnhandledEvents } from './unhandled-events.js';

/** How soon to look again when another relay holds the lock, in ms; up to twice that by chance. */
const BUSY_MS = 20;
const FIRST_RETRY_MS = 250;
const MAX_RETRY_MS = 30_000;

/** How a relay is doing; `failures` counts since its last good pass. */
export interface RelayHealth {
  readonly state: 'running' | 'failing' | 'stopped';
  readonly failures: number;
}

/** What one pass did. */
export type PassResult = 'idle' | 'busy' | 'moved' | 'full';

/**
 * Moves events from the outbox to the log and hands their deliveries to the queue.
 *
 * A pass is one short transaction, then, outside any, a push of its jobs. While a push fails, its
 * jobs are kept and no further events are claimed: the backlog stays in the outbox. If the process
 * ends in between, the rescue pushes what the transaction stored.
 *
 * One loop, no overlap; `wake` is a hint, the timer that calls `poll` makes sure. A pass that was not
 * hinted at opens no transaction where nothing is due: most polls of most processes find nothing.
 */
export class Relay {
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;
  private woken = false;
  /** Something was committed, it seems, since the last pass began. */
  private hinted = false;
  private wakeUp: () => void = () => undefined;
  /** Jobs of the last transaction that are not in the queue yet. */
  private unpushed: readonly DeliveryJob[] = [];
  private failures = 0;
  private retry = new AbortController();
  private readonly unhandled: UnhandledEvents;

  constructor(
    private readonly store: EventStore,
    private readonly pusher: DeliveryPusher,
    private readonly signals: Signals,
    private readonly limits: RelayLimits,
  ) {
    this.unhandled = new UnhandledEvents(signals);
  }

  start(): void {
    // Its own context: a wake-up must not bring along the transaction it came from.
    this.running ??= AsyncLocalStorage.snapshot()(() => this.loop());
  }

  /** Ends after the pass under way. Idempotent. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.wakeUp();
    await this.running;
  }

  /** Something was committed, it seems: move it now rather than at the next poll. Coalesced. */
  wake(): void {
    this.hinted = true;
    this.poll();
  }

  /** Something may be due: look. Cheap where nothing is. */
  poll(): void {
    this.woken = true;
    this.wakeUp();
  }

  /** What it failed for is there again: try now rather than after the rest of the wait. */
  retryNow(): void {
    this.retry.abort();
    this.retry = new AbortController();
  }

  /** How it is doing in this process. */
  health(): RelayHealth {
    const working = this.failures > 0 ? 'failing' : 'running';
    const active = this.running !== undefined && !this.stopping.signal.aborted;
    return { state: active ? working : 'stopped', failures: this.failures };
  }

  /**
   * One pass; what fails rejects, and is repeated by the next one.
   *
   * @param hinted spares the look whether anything is due
   */
  async runOnce(hinted = false): Promise<PassResult> {
    await this.pushUnpushed();
    if (!hinted && !(await this.store.hasDue())) return 'idle';
    // While the queue is down, events stay in the outbox rather than in this process's memory.
    await this.pusher.ready();
    const since = performance.now();
    const batch = await this.store.relay(this.limits);
    if (batch === 'busy') return 'busy';
    const last = batch.events.at(-1);
    if (last === undefined) return 'idle';
    this.unpushed = this.pusher.jobsOf(batch, since);
    this.signals.publish('relay.moved', {
      events: batch.events.length,
      deliveries: countDeliveries(this.unpushed),
      lastPosition: last.position,
    });
    this.unhandled.report(batch);
    await this.pushUnpushed();
    return batch.full ? 'full' : 'moved';
  }

  private async pushUnpushed(): Promise<void> {
    if (this.unpushed.length === 0) return;
    const deliveries = countDeliveries(this.unpushed);
    try {
      await this.pusher.push(this.unpushed, (left) => {
        this.unpushed = left;
      });
    } catch (error) {
      // Some of them may have come through.
      this.unpushed = this.unpushed.map(toRepeatedJob);
      throw error;
    }
    this.signals.publish('relay.pushed', { deliveries });
  }

  private async loop(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      const { hinted } = this;
      this.woken = false;
      this.hinted = false;
      const result = await this.guardedPass(hinted);
      // More waits for certain.
      if (result === 'full') this.hinted = true;
      else if (result === 'busy') await pause(BUSY_MS * (1 + Math.random()), this.stopping.signal);
      else if (typeof result === 'object') await this.waitForRetry(result.retryInMs);
      else await this.untilWoken();
    }
  }

  /** Never rejects. Wake-ups don't shorten a retry: every commit would start a futile pass. */
  private async guardedPass(hinted: boolean): Promise<PassResult | { retryInMs: number }> {
    try {
      const result = await this.runOnce(hinted);
      if (this.failures > 0) this.signals.publish('relay.recovered', { failures: this.failures });
      this.failures = 0;
      return result;
    } catch (error) {
      const retryInMs = retryDelay(this.failures++);
      this.signals.publish('relay.failed', { error, retryInMs });
      return { retryInMs };
    }
  }

  private waitForRetry(ms: number): Promise<void> {
    return pause(ms, AbortSignal.any([this.stopping.signal, this.retry.signal]));
  }

  private async untilWoken(): Promise<void> {
    if (this.woken || this.stopping.signal.aborted) return;
    await new Promise<void>((resolve) => {
      this.wakeUp = resolve;
    });
  }
}

/** Exponential, with half of it left to chance. */
function retryDelay(failures: number): number {
  const full = Math.min(FIRST_RETRY_MS * 2 ** failures, MAX_RETRY_MS);
  return Math.round(full * (0.5 + Math.random() / 2));
}
