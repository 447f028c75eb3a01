import { describe, expect, it } from 'vitest';
import { deliveryIdempotencyKey, newEventId } from '../../lib/event/event-id.js';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('newEventId', () => {
  it('makes UUIDs of version 7 that hold the time', () => {
    const before = Date.now();
    const id = newEventId();
    expect(UUID.exec(id)?.[1]).toBe('7');
    const ms = Number.parseInt(id.replace('-', '').slice(0, 12), 16);
    expect(ms).toBeGreaterThanOrEqual(before);
    expect(ms).toBeLessThanOrEqual(Date.now());
  });

  it('makes them in order and never twice, also within one millisecond', () => {
    const ids = Array.from({ length: 5_000 }, newEventId);
    expect(ids.toSorted()).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe('deliveryIdempotencyKey', () => {
  const eventId = '0190a6f0-0000-7000-8000-000000000001';

  it('is a UUID of version 5 that depends on nothing but event and handler', () => {
    const key = deliveryIdempotencyKey(eventId, 'Mails.confirm');
    expect(UUID.exec(key)?.[1]).toBe('5');
    // A change would let effects happen twice at systems that have seen the former key.
    expect(key).toBe('9a5ecb9a-f39a-5974-8759-7bec2ada9ee1');
  });

  it('differs between handlers and between events', () => {
    const other = '0190a6f0-0000-7000-8000-000000000002';
    const keys = [
      deliveryIdempotencyKey(eventId, 'Mails.confirm'),
      deliveryIdempotencyKey(eventId, 'Stock.reserve'),
      deliveryIdempotencyKey(other, 'Mails.confirm'),
    ];
    expect(new Set(keys).size).toBe(3);
  });
});
