import { withTimeLimit } from '../common/time-limit.js';
import type { EventQueue } from '../queue/event-queue.js';
import type { Relay } from '../relay/relay.js';
import type { Figures, HealthStore } from '../store/health-store.js';

/** Emitted × handlers = completed + discarded + dead + queued. */
export interface Ledger {
  /**
   * Deliveries that the relayed events owe: of each event as many as it had handlers at that moment.
   * Written down by the relay from the events and the subscriptions, apart from making them.
   */
  readonly delivered: number;
  /** Events relayed that had no handler: right for a mere log of facts, else a handler is missing. */
  readonly unhandled: number;
  /** Ever completed. */
  readonly completed: number;
  /** Ever discarded by an operator. */
  readonly discarded: number;
  /** Dead letters right now. */
  readonly dead: number;
  /** Waiting or running right now. */
  readonly queued: number;
  /**
   * delivered − completed − discarded − dead − queued. Not 0: deliveries were not made, were lost, or
   * were changed by hand.
   * Undefined where more wait or are dead than are counted (100,000), and one of them is derived.
   */
  readonly difference: number | undefined;
}

/** What {@link EventsHealth.check} tells. Times are in ms. */
export interface HealthReport {
  readonly ledger: Ledger;
  readonly outbox: {
    /** Events that the relay has not moved yet; counted up to 100,000. */
    readonly due: number;
    /** Events emitted with a delay that is not over; counted up to 100,000. */
    readonly scheduled: number;
    /** How long the oldest due one has waited; undefined: none does. */
    readonly oldestMs: number | undefined;
  };
  /**
   * How long ago the oldest delivery that is queued became so (by the relay, or by a redrive), waits
   * between attempts included; undefined: none is.
   */
  readonly oldestQueuedMs: number | undefined;
  readonly relay: {
    /** `elsewhere`: this process does not relay. */
    readonly state: 'running' | 'failing' | 'stopped' | 'elsewhere';
    /** Passes that failed since the last good one, in this process. */
    readonly failures: number;
    /** Position of the last relayed event, of all processes. */
    readonly lastPosition: number;
  };
  readonly queue: {
    /** Such as `BullMQ on Redis at localhost:6379`; undefined in a process that only emits. */
    readonly target: string | undefined;
    /** Undefined in a process that only emits. */
    readonly reachable: boolean | undefined;
    /** How often it was found wiped or swapped, ever. */
    readonly wipes: number;
    readonly wipedAt: Date | undefined;
  };
}

/** What {@link EventsHealth} works with. */
export interface EventsHealthParts {
  readonly store: HealthStore;
  readonly queue: EventQueue | undefined;
  readonly relay: Relay | undefined;
}

/** Rows counted at most, of what waits: a count takes some 10 ms then. */
const COUNT_LIMIT = 100_000;
const QUEUE_LIMIT_MS = 3_000;

/**
 * How the events of this namespace are doing: figures for probes, dashboards and alarms. One
 * statement on the database and one question to the queue; it costs the same however long the log is.
 */
export class EventsHealth {
  constructor(private readonly parts: EventsHealthParts) {}

  /** @throws where the database can't be reached */
  async check(): Promise<HealthReport> {
    const [figures, reachable] = await Promise.all([
      this.parts.store.figures(COUNT_LIMIT),
      this.isQueueReachable(),
    ]);
    return {
      ledger: toLedger(figures),
      outbox: {
        due: figures.outboxDue,
        scheduled: figures.outboxScheduled,
        oldestMs: figures.oldestDueMs ?? undefined,
      },
      oldestQueuedMs: figures.oldestQueuedMs ?? undefined,
      relay: {
        ...(this.parts.relay?.health() ?? { state: 'elsewhere', failures: 0 }),
        lastPosition: figures.lastPosition,
      },
      queue: {
        target: this.parts.queue?.description,
        reachable,
        wipes: figures.wipes,
        wipedAt: figures.wipedAt === null ? undefined : new Date(figures.wipedAt),
      },
    };
  }

  private async isQueueReachable(): Promise<boolean | undefined> {
    if (this.parts.queue === undefined) return undefined;
    // A mark that is read proves more than a connection that is open.
    const answered = this.parts.queue.generation().then(() => true);
    return withTimeLimit(answered, QUEUE_LIMIT_MS, () => new Error('no answer')).catch(() => false);
  }
}

/** Counts that stopped at the limit are derived from the others, as far as that can be done. */
export function toLedger(figures: Figures, limit = COUNT_LIMIT): Ledger {
  const { delivered, unhandled, completed, discarded, dead, queued } = figures;
  const open = delivered - completed - discarded;
  if (dead < limit && queued < limit) {
    const difference = open - dead - queued;
    return { delivered, unhandled, completed, discarded, dead, queued, difference };
  }
  const counted = { delivered, unhandled, completed, discarded, difference: undefined };
  if (dead < limit) return { ...counted, dead, queued: Math.max(queued, open - dead) };
  if (queued < limit) return { ...counted, queued, dead: Math.max(dead, open - queued) };
  return { ...counted, dead, queued };
}
