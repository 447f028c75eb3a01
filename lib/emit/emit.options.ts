import type { EntityManager } from 'typeorm';
import type { Duration } from '../common/duration.js';
import type { EventActor, EventEntity } from '../event/domain-event.js';

/** Whether an event may be saved outside a transaction, on its own. */
export type Standalone = 'reject' | 'allow';

export interface EmitOptions {
  /** Save the event through this manager's open transaction instead of the active one. */
  manager?: EntityManager;
  /** Outside a transaction: `reject` (default, see the module option) or `allow`. */
  standalone?: Standalone;
  /**
   * The caller's key against double emits: at most one event per key and namespace exists. An emit
   * with a known key writes nothing and resolves with the first event's id and `duplicate: true`.
   * At most 512 characters.
   */
  idempotencyKey?: string;
  /** The event or command that caused this one. In a handler: the handled event, by itself. */
  causationId?: string;
  /** Shared by all events of one business operation. In a handler: kept, by itself. */
  correlationId?: string;
  /** Overrides the definition's `key`. */
  key?: string;
  /** Overrides the definition's `entity`. */
  entity?: EventEntity;
  /** Who did it. */
  actor?: EventActor;
  /** Anything else worth keeping with the event, JSON. Counts against `maxDataBytes` on its own. */
  metadata?: Record<string, unknown>;
  /** When it happened. Default: now, by the database's clock. */
  occurredAt?: Date;
  /** Relay the event this much later than now. */
  delay?: Duration;
  /** Emit by name with this version; with a definition, its own version counts. */
  version?: number;
}

/** What `emit` resolves with, once the event is written (not yet committed). */
export interface EmittedEvent {
  readonly eventId: string;
  readonly name: string;
  readonly version: number;
  /** True where the idempotency key was known: nothing was written, `eventId` is the first one's. */
  readonly duplicate: boolean;
}
