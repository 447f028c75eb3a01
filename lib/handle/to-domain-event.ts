import type { EventEnvelope } from '../event/domain-event.js';
import { deliveryIdempotencyKey } from '../event/event-id.js';
import { parsePayload } from '../event/payload.js';
import type { LoggedEvent } from '../store/event-store.js';

/** The event as the handler gets it. */
export function toDomainEvent(event: LoggedEvent, handlerId: string): EventEnvelope {
  const { entityType, entityId, entityVersion, actorType, actorId } = event;
  return {
    eventId: event.eventId,
    name: event.name,
    version: event.version,
    ...parsePayload(event),
    key: event.key ?? undefined,
    entity:
      entityType === null || entityId === null
        ? undefined
        : {
            type: entityType,
            id: entityId,
            ...(entityVersion !== null && { version: entityVersion }),
          },
    actor: actorType === null || actorId === null ? undefined : { type: actorType, id: actorId },
    occurredAt: new Date(event.occurredAt),
    position: event.position,
    // Few handlers ask for it, and hashing would be a twentieth of all that a delivery costs.
    get idempotencyKey() {
      return deliveryIdempotencyKey(event.eventId, handlerId);
    },
    causationId: event.causationId ?? undefined,
    correlationId: event.correlationId ?? undefined,
  };
}
