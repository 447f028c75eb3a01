import type { Signals } from '../observability/signals.js';
import type { DeliveryJob } from '../queue/event-queue.js';
import type { EventStore, RelayLimits, RescuedDelivery } from '../store/event-store.js';
import type { DeliveryPusher } from './delivery-pusher.js';

/**
 * Pushes overdue deliveries again. Where the job still exists that does nothing (same job id);
 * where it was lost (a crash between commit and push, an evicted or flushed Redis) it comes back.
 */
export class Rescue {
  private running: Promise<void> | undefined;
  private stopped = false;

  constructor(
    private readonly store: EventStore,
    private readonly pusher: DeliveryPusher,
    private readonly signals: Signals,
    private readonly limits: RelayLimits,
  ) {}

  /** Starts a sweep unless one is running; never rejects. */
  trigger(): void {
    if (this.running !== undefined || this.stopped) return;
    this.running = this.guardedSweep().finally(() => {
      this.running = undefined;
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
    for (;;) {
      // Asked first: taking deliveries postpones them.
      await this.pusher.ready();
      const overdue = await this.store.rescue(this.limits);
      if (overdue.length > 0) {
        const jobs = this.pusher.rescueJobs(overdue, await this.store.handlers());
        await this.push(jobs, overdue);
        total += jobs.length;
        if (jobs.length > 0) this.signals.publish('rescue.pushed', { deliveries: jobs.length });
      }
      if (overdue.length < this.limits.batchSize || this.stopped) return total;
    }
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
