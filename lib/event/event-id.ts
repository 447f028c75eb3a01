import { v5, v7 } from 'uuid';

/** A new event id: UUIDv7 (RFC 9562), ordered by time. */
export function newEventId(): string {
  return v7();
}

/**
 * The idempotency key of a delivery: UUIDv5 (RFC 9562) of the handler id in the namespace of the
 * event id. Computed, never stored: it can't change between attempts.
 */
export function deliveryIdempotencyKey(eventId: string, handlerId: string): string {
  return v5(handlerId, eventId);
}
