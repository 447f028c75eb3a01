import type { EventCategory } from '../event/event-definition.js';
import type { LoggedEvent } from './event-store.js';

/** An event as the dialects' queries return it: numbers as text, times as ISO 8601 in UTC. */
export interface EventRow {
  readonly position: string | null;
  readonly event_id: string;
  readonly name: string;
  readonly version: string;
  readonly category: EventCategory;
  readonly data: string;
  readonly metadata: string | null;
  readonly key: string | null;
  readonly entity_type: string | null;
  readonly entity_id: string | null;
  readonly entity_version: string | null;
  readonly actor_type: string | null;
  readonly actor_id: string | null;
  readonly causation_id: string | null;
  readonly correlation_id: string | null;
  readonly occurred_at: string;
}

export function toLoggedEvent(row: EventRow): LoggedEvent {
  return {
    position: Number(row.position),
    eventId: row.event_id,
    name: row.name,
    version: Number(row.version),
    category: row.category,
    data: row.data,
    metadata: row.metadata,
    key: row.key,
    entityType: row.entity_type,
    entityId: row.entity_id,
    entityVersion: row.entity_version === null ? null : Number(row.entity_version),
    actorType: row.actor_type,
    actorId: row.actor_id,
    causationId: row.causation_id,
    correlationId: row.correlation_id,
    occurredAt: row.occurred_at,
  };
}
