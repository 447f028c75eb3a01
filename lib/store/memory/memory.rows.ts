import type { DeliveryStatus, LoggedEvent, OutboxRecord } from '../event-store.js';
import type { StoredHandler } from '../handler-row.js';

/** Rows as they are kept: JSON as text, so that nobody shares its objects; times in ms since 1970. */
export interface EventFields extends Omit<
  OutboxRecord,
  'occurredAt' | 'delayMs' | 'idempotencyKey'
> {
  /** ISO 8601 in UTC. */
  readonly occurredAt: string;
}

export interface OutboxRow extends EventFields {
  readonly seq: number;
  readonly createdAt: number;
  scheduledAt: number | null;
}

export interface LogRow extends EventFields {
  readonly position: number;
  readonly relayedAt: number;
}

export interface DeliveryRow {
  readonly position: number;
  readonly handler: string;
  status: DeliveryStatus;
  epoch: number;
  chunk: number | null;
  attempts: number;
  maxAttempts: number;
  lastError: string | null;
  lastAttemptAt: number | null;
  queuedAt: number;
  retryAt: number | null;
  rescueAt: number | null;
  completedAt: number | null;
  deadAt: number | null;
  discardedAt: number | null;
  discardReason: string | null;
}

export interface HandlerRow extends Pick<StoredHandler, 'id' | 'events' | 'queue' | 'options'> {
  readonly firstSeenAt: number;
  readonly lastSeenAt: number;
  readonly retiredAt: number | null;
}

export interface RelayRow {
  readonly identity: string;
  lastPosition: number;
  queueGeneration: string | undefined;
  queueWipes: number;
  queueWipedAt: number | null;
}

export function toLoggedEvent(row: EventFields & { readonly position: number }): LoggedEvent {
  const { position, eventId, name, version, category, key, entityType, entityId } = row;
  const { entityVersion, actorType, actorId, causationId, correlationId, occurredAt } = row;
  return {
    position,
    eventId,
    name,
    version,
    category,
    data: row.data,
    metadata: row.metadata,
    key,
    entityType,
    entityId,
    entityVersion,
    actorType,
    actorId,
    causationId,
    correlationId,
    occurredAt,
  };
}

export function iso(time: number): string {
  return new Date(time).toISOString();
}

export function isoOrNull(time: number | null): string | null {
  return time === null ? null : iso(time);
}
