import type { QueryRunner } from 'typeorm';
import type { EventCategory } from '../event/event-definition.js';
import type { Payload } from '../event/payload.js';

/** A row for the outbox, completely checked. Times are ISO 8601 in UTC. */
export interface OutboxRecord extends Payload {
  readonly eventId: string;
  readonly name: string;
  readonly version: number;
  readonly category: EventCategory;
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
export interface LoggedEvent extends Payload {
  readonly position: number;
  readonly eventId: string;
  readonly name: string;
  readonly version: number;
  readonly category: EventCategory;
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
  /** Deliveries that one job is to carry at most, as the handler is limited or was found to be quick. */
  readonly perJob?: number;
  /** Of a batch handler: events that it takes at once, at most. One job carries so many. */
  readonly batchSize?: number;
}

export type DeliveryStatus = 'queued' | 'completed' | 'dead' | 'discarded';

/** Names one delivery, as of one epoch. */
export interface DeliveryRef {
  readonly position: number;
  readonly handler: string;
  readonly epoch: number;
}

/** A delivery and the chunk it is in: its job carries others of its handler and epoch, too. */
export interface ChunkedRef extends DeliveryRef {
  /** What the deliveries of a chunk have in common; null: its job carries nothing else. */
  readonly chunk: number | null;
}

export interface DeliveryState extends ChunkedRef {
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
export interface RescuedDelivery extends ChunkedRef {
  readonly event: LoggedEvent;
}

/** What one look for overdue deliveries took. */
export interface RescuedBatch {
  readonly deliveries: readonly RescuedDelivery[];
  /** Those whose event the log has lost: nobody can handle them. */
  readonly lost: readonly DeliveryRef[];
  /** More may be overdue: the batch was full. */
  readonly full: boolean;
}

/** A page of what a wiped queue must hold again. */
export interface QueuedPage {
  readonly deliveries: readonly QueuedDelivery[];
  /** Nearly all of these came in an earlier page. */
  readonly again: boolean;
  /** Where the next page begins; undefined after the last one. */
  readonly next: string | undefined;
}

export interface QueuedDelivery extends RescuedDelivery {
  /** How long its next attempt has to wait, in ms. */
  readonly dueInMs: number;
}

/** A registered handler, for operators. Times are ISO 8601 in UTC. */
export interface HandlerRecord extends RegisteredHandler {
  readonly firstSeenAt: string;
  /** Living processes renew it every minute. */
  readonly lastSeenAt: string;
  /** How long ago that was, by the database's clock. */
  readonly unseenMs: number;
  readonly retiredAt: string | null;
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
  /** When the next attempt is due, after a failed one. */
  readonly retryAt: string | null;
  readonly completedAt: string | null;
  readonly deadAt: string | null;
  readonly discardedAt: string | null;
  readonly discardReason: string | null;
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

  /**
   * Whether something in the outbox is due. One cheap read.
   *
   * @param limitMs for the answer, once there is a connection, which is closed then; default 60 s
   */
  hasDue(limitMs?: number): Promise<boolean>;
  /**
   * One relay transaction: due outbox rows become log entries with the next positions, and one
   * delivery per subscribed handler. `busy`: another relay holds the namespace's lock.
   */
  relay(limits: RelayLimits): Promise<RelayedBatch | 'busy'>;
  /**
   * Queued deliveries whose `rescue_at` has passed, each postponed by this call. In the order of
   * `rescue_at` and position.
   */
  rescue(limits: RelayLimits): Promise<RescuedBatch>;
  /** Takes back the postponement, for deliveries that could not be pushed. */
  unrescue(refs: readonly DeliveryRef[], rescueAfterMs: number): Promise<void>;
  /**
   * Moves deliveries that are queued in the expected epoch to other chunks, or out of them; false for
   * one that is not, or that another transaction has locked: it stays where it is.
   */
  setChunks(deliveries: readonly ChunkedRef[]): Promise<boolean[]>;

  /**
   * The generation of the queue that all deliveries were pushed to, or how far a refill is; undefined
   * before the first.
   */
  queueGeneration(): Promise<string | undefined>;
  /**
   * Changes it, if `from` is still the current one: of several processes that notice a wipe, one
   * wins.
   *
   * @param wiped count it as a wipe
   */
  changeQueueGeneration(from: string | undefined, to: string, wiped: boolean): Promise<boolean>;
  /**
   * What is queued, page by page, as of the first page: deliveries that are queued later are left
   * out, those that move meanwhile may come twice. A page may be empty before the last one.
   *
   * @param from the last page's `next`
   */
  queuedDeliveries(limit: number, from?: string): Promise<QueuedPage>;

  /** Current states, in the order asked; `undefined` for a delivery that does not exist. */
  deliveryStates(refs: readonly DeliveryRef[]): Promise<(DeliveryState | undefined)[]>;
  /**
   * Marks deliveries completed; false for one that was not queued in this epoch any more. With a
   * runner it waits for nobody: it rejects with a contention where another transaction has a row.
   */
  complete(refs: readonly DeliveryRef[], runner?: QueryRunner): Promise<boolean[]>;
  /**
   * Records failed attempts, and takes their deliveries out of their chunks; false for one that was
   * not queued in this epoch any more.
   */
  fail(attempts: readonly FailedAttempt[], rescueAfterMs: number): Promise<boolean[]>;

  /** Events by position, in any order; missing ones are left out. */
  readEvents(positions: readonly number[]): Promise<LoggedEvent[]>;
  /** The newest events about one entity, with their deliveries, oldest first; waiting ones last. */
  eventsOfEntity(type: string, id: string, limit: number): Promise<EventRecord[]>;
  /** One event with its deliveries, relayed or not. */
  eventById(eventId: string): Promise<EventRecord | undefined>;

  /** Adds or updates handlers, and brings retired ones back. */
  registerHandlers(handlers: readonly RegisteredHandler[]): Promise<void>;
  /** Says again that this process has these handlers; adds one that is not there any more. */
  renewHandlers(handlers: readonly RegisteredHandler[]): Promise<void>;
  /**
   * Handlers that get deliveries: not retired, and not superseded by another one of which they are a
   * former id; each with the events that any living process takes.
   */
  handlers(runner?: QueryRunner): Promise<RegisteredHandler[]>;
  /** All handlers ever registered, by id. */
  handlerRecords(): Promise<HandlerRecord[]>;
  /**
   * Ends new deliveries to a handler. Once this resolves, no relay pass makes one any more, wherever
   * it runs. False: there is none, or it was retired before.
   */
  retireHandler(id: string): Promise<boolean>;
  /** Handler id → number of deliveries that wait for it; handlers without any are left out. */
  waiting(handlers: readonly string[]): Promise<Map<string, number>>;

  /**
   * Whether an error means that the database is out of reach or asks to try again.
   *
   * @param from `store` (default): it came from a statement of this library. `handler`: it came out
   *   of a handler, where what may as well be the handler's own doing is not counted.
   */
  isInfrastructureError(error: unknown, from?: 'store' | 'handler'): boolean;
}
