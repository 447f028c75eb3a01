import type { Signals } from '../observability/signals.js';
import type { DeliveryJob } from '../queue/event-queue.js';
import type {
  DeliveryRef,
  EventStore,
  RelayLimits,
  RescuedDelivery,
} from '../store/event-store.js';
import { countDeliveries, cutChunks, type DeliveryPusher } from './delivery-pusher.js';

/** Stranded deliveries that were told of; beyond that, they may be told of again. */
const MAX_TOLD = 10_000;

/**
 * Pushes overdue deliveries again. Where the job still exists that does nothing (same job id);
 * where it was lost (a crash between commit and push, an evicted or flushed Redis) it comes back.
 */
export class Rescue {
  private running: Promise<void> | undefined;
  private stopped = false;
  /** Asked for while a sweep was under way, which may have passed over what it was asked for. */
  private again = false;
  private readonly told = new Set<string>();

  constructor(
    private readonly store: EventStore,
    private readonly pusher: DeliveryPusher,
    private readonly signals: Signals,
    private readonly limits: RelayLimits,
  ) {}

  /** Starts a sweep, or another one after the one that is running; never rejects. */
  trigger(): void {
    if (this.stopped) return;
    if (this.running !== undefined) {
      this.again = true;
      return;
    }
    this.running = this.guardedSweep().finally(() => {
      this.running = undefined;
      if (!this.again) return;
      this.again = false;
      this.trigger();
    });
  }

  /** Ends after the batch under way. Idempotent. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.running;
  }

  /** Pushes everything that is overdue, batch by batch; returns the number of deliveries. */
  async sweep(): Promise<number> {
    let total = 0;
    let held: readonly RescuedDelivery[] = [];
    for (;;) {
      // Asked first: taking deliveries postpones them.
      await this.pusher.ready();
      const { deliveries, lost, full } = await this.store.rescue(this.limits);
      for (const delivery of lost) this.tell(delivery);
      const last = !full || this.stopped;
      const taken = [...held, ...deliveries];
      held = last ? [] : cutChunks(taken);
      const overdue = taken.filter((delivery) => !held.includes(delivery));
      if (overdue.length > 0) {
        const jobs = this.pusher.rescueJobs(overdue, await this.store.handlers());
        await this.push(jobs, taken);
        const pushed = countDeliveries(jobs);
        total += pushed;
        if (pushed > 0) this.signals.publish('rescue.pushed', { deliveries: pushed });
      }
      if (last) return total;
    }
  }

  /** They are looked at again at least once an hour. */
  private tell({ position, handler }: DeliveryRef): void {
    const name = `${position} ${handler}`;
    if (this.told.has(name)) return;
    if (this.told.size >= MAX_TOLD) this.told.clear();
    this.told.add(name);
    const event = { eventId: undefined, event: undefined };
    this.signals.publish('delivery.stranded', { ...event, handler, position });
  }

  private async push(jobs: readonly DeliveryJob[], overdue: readonly RescuedDelivery[]) {
    try {
      await this.pusher.push(jobs);
    } catch (error) {
      await this.store.unrescue(overdue, this.limits.rescueAfterMs);
      throw error;
    }
  }

  private async guardedSweep(): Promise<void> {
    try {
      await this.sweep();
    } catch (error) {
      this.signals.publish('rescue.failed', { error });
    }
  }
}
