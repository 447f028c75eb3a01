import type { QueryRunner } from 'typeorm';
import type { EventCategory } from '../event/event-definition.js';

/** A row for the outbox, completely checked. Times are ISO 8601 in UTC. */
export interface OutboxRecord {
  readonly eventId: string;
  readonly name: string;
  readonly version: number;
  readonly category: EventCategory;
  /** JSON text. */
  readonly data: string;
  /** JSON text. */
  readonly metadata: string | null;
  /** JSON text: trace context. */
  readonly headers: string | null;
  readonly key: string | null;
  readonly entityType: string | null;
  readonly entityId: string | null;
  readonly entityVersion: number | null;
  readonly actorType: string | null;
  readonly actorId: string | null;
  readonly causationId: string | null;
  readonly correlationId: string | null;
  /** null: now, by the database's clock. */
  readonly occurredAt: string | null;
  /** Relay it this much later than now; null: at once. */
  readonly delayMs: number | null;
  readonly idempotencyKey: string | null;
}

export interface AppendedEvent {
  readonly eventId: string;
  readonly duplicate: boolean;
}

/** An event of the log, as it is stored and as it travels in jobs: plain JSON. */
export interface LoggedEvent {
  readonly position: number;
  readonly eventId: string;
  readonly name: string;
  readonly version: number;
  readonly category: EventCategory;
  /** Parsed JSON. */
  readonly data: unknown;
  readonly metadata: Readonly<Record<string, unknown>> | null;
  readonly key: string | null;
  readonly entityType: string | null;
  readonly entityId: string | null;
  readonly entityVersion: number | null;
  readonly actorType: string | null;
  readonly actorId: string | null;
  readonly causationId: string | null;
  readonly correlationId: string | null;
  /** ISO 8601 in UTC. */
  readonly occurredAt: string;
}

/** A handler as registered in the database, by whichever process runs it. */
export interface RegisteredHandler {
  readonly id: string;
  /** Names of the events it takes. */
  readonly events: readonly string[];
  readonly queue: string;
  readonly maxAttempts: number;
  /** Lower is sooner. */
  readonly priority: number;
  readonly transactional: boolean;
  /** Former ids, whose waiting deliveries it takes over. */
  readonly aliases: readonly string[];
}

export type DeliveryStatus = 'queued' | 'completed' | 'dead' | 'discarded';

/** Names one delivery, as of one epoch. */
export interface DeliveryRef {
  readonly position: number;
  readonly handler: string;
  readonly epoch: number;
}

export interface DeliveryState extends DeliveryRef {
  readonly eventId: string;
  readonly status: DeliveryStatus;
  /** Attempts made so far. */
  readonly attempts: number;
  readonly maxAttempts: number;
}

export interface FailedAttempt extends DeliveryRef {
  /** Its number, from 1. */
  readonly attempt: number;
  /** Cleaned and cut. */
  readonly error: string;
  /** No further attempt: the delivery becomes a dead letter. */
  readonly dead: boolean;
  /** When the next attempt is due, from now. */
  readonly retryInMs: number;
}

/** What one relay pass moved. */
export interface RelayedBatch {
  readonly events: readonly LoggedEvent[];
  /** The handlers the events were fanned out to. */
  readonly handlers: readonly RegisteredHandler[];
  /** More may wait: the batch was full. */
  readonly full: boolean;
}

/** A delivery whose job may be lost, to be pushed again. */
export interface RescuedDelivery extends DeliveryRef {
  readonly event: LoggedEvent;
}

export interface RelayLimits {
  readonly batchSize: number;
  /** A delivery not done after this long is looked at by the rescue. */
  readonly rescueAfterMs: number;
}

/** A delivery of an event, for people. */
export interface DeliveryRecord {
  readonly handler: string;
  readonly status: DeliveryStatus;
  readonly attempts: number;
  readonly maxAttempts: number;
  readonly lastError: string | null;
  readonly queuedAt: string;
  readonly lastAttemptAt: string | null;
  readonly completedAt: string | null;
  readonly deadAt: string | null;
}

/** An event with its deliveries; `position` is null while it waits in the outbox. */
export interface EventRecord extends Omit<LoggedEvent, 'position'> {
  readonly position: number | null;
  readonly deliveries: readonly DeliveryRecord[];
}

/**
 * The database, as the rest of the library sees it. One namespace per instance. Where no runner is
 * given, an operation runs on a master connection of its own, in a short transaction of its own.
 * Marks may be repeated: what is marked already is not marked or counted twice.
 */
export interface EventStore {
  /** The database in one short phrase for logs: type and place, no credentials. */
  readonly description: string;

  /**
   * Makes the namespace's row where there is none, and returns its random identity: queues of
   * namespaces that have one name, in different databases, are told apart by it.
   */
  prepare(): Promise<string>;
  /** Writes outbox rows (and idempotency keys), through the given transaction's connection. */
  append(records: readonly OutboxRecord[], runner?: QueryRunner): Promise<AppendedEvent[]>;
  /** Whether the database will turn this runner's COMMIT into a rollback. */
  isTransactionFailed(runner: QueryRunner): Promise<boolean>;

  /** Whether something in the outbox is due. One cheap read. */
  hasDue(): Promise<boolean>;
  /**
   * One relay transaction: due outbox rows become log entries with the next positions, and one
   * delivery per subscribed handler. `busy`: another relay holds the namespace's lock.
   */
  relay(limits: RelayLimits): Promise<RelayedBatch | 'busy'>;
  /** Queued deliveries whose `rescue_at` has passed, each postponed by this call. */
  rescue(limits: RelayLimits): Promise<RescuedDelivery[]>;
  /** Takes back the postponement, for deliveries that could not be pushed. */
  unrescue(refs: readonly DeliveryRef[], rescueAfterMs: number): Promise<void>;

  /** Current states, in the order asked; `undefined` for a delivery that does not exist. */
  deliveryStates(refs: readonly DeliveryRef[]): Promise<(DeliveryState | undefined)[]>;
  /** Marks deliveries completed; false for one that was not queued in this epoch any more. */
  complete(refs: readonly DeliveryRef[], runner?: QueryRunner): Promise<boolean[]>;
  /** Records failed attempts; false for one that was not queued in this epoch any more. */
  fail(attempts: readonly FailedAttempt[], rescueAfterMs: number): Promise<boolean[]>;

  /** Events by position, in any order; missing ones are left out. */
  readEvents(positions: readonly number[]): Promise<LoggedEvent[]>;
  /** The newest events about one entity, with their deliveries, oldest first; waiting ones last. */
  eventsOfEntity(type: string, id: string, limit: number): Promise<EventRecord[]>;
  /** One event with its deliveries, relayed or not. */
  eventById(eventId: string): Promise<EventRecord | undefined>;

  /** Adds or updates handlers, and retires their aliases. */
  registerHandlers(handlers: readonly RegisteredHandler[]): Promise<void>;
  /** Renews `last_seen_at`; adds a handler that is not there any more. */
  renewHandlers(handlers: readonly RegisteredHandler[]): Promise<void>;
  /** Handlers that get deliveries: not retired, and no alias of another one. */
  handlers(runner?: QueryRunner): Promise<RegisteredHandler[]>;

  /**
   * Whether an error means that the database is out of reach or asks to try again.
   *
   * @param from `store` (default): it came from a statement of this library. `handler`: it came out
   *   of a handler, where what may as well be the handler's own doing is not counted.
   */
  isInfrastructureError(error: unknown, from?: 'store' | 'handler'): boolean;
}
