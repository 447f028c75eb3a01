import type { Signals } from '../observability/signals.js';
import type {
  DeliveryRef,
  EventStore,
  RelayLimits,
  RescuedDelivery,
} from '../store/event-store.js';
import { countKnown, type DeliveryPusher } from './delivery-pusher.js';
import { WholeChunks } from './whole-chunks.js';

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
    const chunks = new WholeChunks(this.store);
    for (;;) {
      await this.pusher.ready();
      const { deliveries, lost, full } = await this.store.rescue(this.limits);
      for (const delivery of lost) this.tell(delivery);
      try {
        total += await this.push(deliveries, chunks);
      } catch (error) {
        await this.store.unrescue(deliveries, this.limits.rescueAfterMs);
        throw error;
      }
      if (!full || this.stopped) return total;
    }
  }

  private async push(overdue: readonly RescuedDelivery[], chunks: WholeChunks): Promise<number> {
    if (overdue.length === 0) return 0;
    const handlers = await this.store.handlers();
    const whole = await chunks.of(overdue, handlers);
    const jobs = this.pusher.rescueJobs(whole, handlers);
    await this.pusher.push(jobs);
    const deliveries = countKnown(overdue, handlers);
    if (deliveries > 0) this.signals.publish('rescue.pushed', { deliveries });
    return deliveries;
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

  private async guardedSweep(): Promise<void> {
    try {
      await this.sweep();
    } catch (error) {
      this.signals.publish('rescue.failed', { error });
    }
  }
}
