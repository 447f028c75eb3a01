import { validate as isUuid } from 'uuid';
import { deliveryIdempotencyKey } from '../event/event-id.js';
import { parsePayload } from '../event/payload.js';
import type {
  DeliveryRecord,
  DeliveryStatus,
  EventRecord,
  EventStore,
} from '../store/event-store.js';

/** A delivery of a logged event. */
export interface DeliveryInfo {
  readonly handler: string;
  readonly status: DeliveryStatus;
  /** Attempts made so far, the successful one included. */
  readonly attempts: number;
  readonly maxAttempts: number;
  readonly lastError: string | undefined;
  readonly idempotencyKey: string;
  readonly queuedAt: Date;
  readonly lastAttemptAt: Date | undefined;
  /** When the next attempt is due, after a failed one. */
  readonly retryAt: Date | undefined;
  readonly completedAt: Date | undefined;
  readonly deadAt: Date | undefined;
  readonly discardedAt: Date | undefined;
  readonly discardReason: string | undefined;
}

/** An event as saved, with what became of it. */
export interface EventHistory {
  readonly eventId: string;
  /** Undefined while it waits in the outbox. */
  readonly position: number | undefined;
  readonly name: string;
  readonly version: number;
  readonly data: unknown;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly causationId: string | undefined;
  readonly correlationId: string | undefined;
  readonly occurredAt: Date;
  /** One per handler that took the event when it was relayed. */
  readonly deliveries: readonly DeliveryInfo[];
}

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1_000;

/** Reads saved events and what became of them. Inject it for timelines and support pages. */
export class EventLog {
  constructor(private readonly store: EventStore) {}

  /**
   * The events about one thing (their definition's `entity`), oldest first; those not relayed yet
   * come last, without a position.
   *
   * @param options.limit at most this many, the newest ones, 1 to 1,000; default 100
   */
  async ofEntity(
    type: string,
    id: string,
    options: { limit?: number } = {},
  ): Promise<EventHistory[]> {
    // No text in a database holds a NUL; an id out of a URL may.
    if (`${type}${id}`.includes('\0')) return [];
    return (await this.store.eventsOfEntity(type, id, limitOf(options.limit))).map(toHistory);
  }

  /** One event, or `undefined` if there is none with this id in the namespace. */
  async get(eventId: string): Promise<EventHistory | undefined> {
    if (!isUuid(eventId)) return undefined;
    const record = await this.store.eventById(eventId);
    return record === undefined ? undefined : toHistory(record);
  }
}

/** A limit out of a URL may be any number. */
function limitOf(asked = DEFAULT_LIMIT): number {
  const whole = Number.isNaN(asked) ? DEFAULT_LIMIT : Math.trunc(asked);
  return Math.min(Math.max(1, whole), MAX_LIMIT);
}

function toHistory(record: EventRecord): EventHistory {
  return {
    eventId: record.eventId,
    position: record.position ?? undefined,
    name: record.name,
    version: record.version,
    ...parsePayload(record),
    causationId: record.causationId ?? undefined,
    correlationId: record.correlationId ?? undefined,
    occurredAt: new Date(record.occurredAt),
    deliveries: record.deliveries.map((delivery) => toInfo(delivery, record.eventId)),
  };
}

function toInfo(delivery: DeliveryRecord, eventId: string): DeliveryInfo {
  return {
    handler: delivery.handler,
    status: delivery.status,
    attempts: delivery.attempts,
    maxAttempts: delivery.maxAttempts,
    lastError: delivery.lastError ?? undefined,
    idempotencyKey: deliveryIdempotencyKey(eventId, delivery.handler),
    queuedAt: new Date(delivery.queuedAt),
    lastAttemptAt: date(delivery.lastAttemptAt),
    retryAt: date(delivery.retryAt),
    completedAt: date(delivery.completedAt),
    deadAt: date(delivery.deadAt),
    discardedAt: date(delivery.discardedAt),
    discardReason: delivery.discardReason ?? undefined,
  };
}

function date(iso: string | null): Date | undefined {
  return iso === null ? undefined : new Date(iso);
}
