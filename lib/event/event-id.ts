import { randomFillSync } from 'node:crypto';
import { v5, v7 } from 'uuid';

const RANDOM_BYTES = 16;
/** Random numbers for so many ids at once: asking the system costs more than making an id. */
const POOL = Buffer.alloc(RANDOM_BYTES * 256);
let used = POOL.length;
/** Of the last id: the next one is greater, also within one millisecond or if the clock goes back. */
let msecs = 0;
let sequence = 0;

/** A new event id: UUIDv7 (RFC 9562), in the order in which this process makes them. */
export function newEventId(): string {
  const random = randomBytes();
  const now = Date.now();
  if (now > msecs) {
    msecs = now;
    // Its highest bit is left free, to be counted up from.
    sequence = random.readUInt32BE(0) >>> 1;
  } else if (++sequence > 0xffff_ffff) {
    msecs++;
    sequence = 0;
  }
  return v7({ random, msecs, seq: sequence });
}

function randomBytes(): Buffer {
  if (used === POOL.length) {
    randomFillSync(POOL);
    used = 0;
  }
  return POOL.subarray(used, (used += RANDOM_BYTES));
}

/**
 * The idempotency key of a delivery: UUIDv5 (RFC 9562) of the handler id in the namespace of the
 * event id. Computed, never stored: it can't change between attempts.
 */
export function deliveryIdempotencyKey(eventId: string, handlerId: string): string {
  return v5(handlerId, eventId);
}
