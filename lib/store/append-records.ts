import type { AppendedEvent, OutboxRecord } from './event-store.js';

/** An idempotency key, and the event that is to own it. */
export interface KeyClaim {
  readonly key: string;
  readonly eventId: string;
}

/** A dialect's two writes, both through one transaction. */
interface Writes {
  /** Takes the keys that are free; returns the owners of all, key → event id. */
  claim(claims: readonly KeyClaim[]): Promise<ReadonlyMap<string, string>>;
  insert(records: readonly OutboxRecord[]): Promise<void>;
}

/** Writes records whose idempotency key nobody else has, in their order. */
export async function appendRecords(
  records: readonly OutboxRecord[],
  writes: Writes,
): Promise<AppendedEvent[]> {
  const claims = keyClaims(records);
  const owners = claims.length === 0 ? new Map<string, string>() : await writes.claim(claims);
  const { fresh, appended } = settleKeys(records, owners);
  if (fresh.length > 0) await writes.insert(fresh);
  return appended;
}

/** The keys that records claim. Sorted: two transactions that claim the same ones must not deadlock. */
export function keyClaims(records: readonly OutboxRecord[]): KeyClaim[] {
  const owners = new Map<string, string>();
  for (const { idempotencyKey: key, eventId } of records) {
    // The first record of a call with a key owns it.
    if (key !== null && !owners.has(key)) owners.set(key, eventId);
  }
  const claims = [...owners].map(([key, eventId]) => ({ key, eventId }));
  return claims.toSorted((a, b) => (a.key < b.key ? -1 : 1));
}

/**
 * Which records are to be written, and what all of them have become.
 *
 * @param owners key → event id, of all keys of the records
 */
export function settleKeys(
  records: readonly OutboxRecord[],
  owners: ReadonlyMap<string, string>,
): { fresh: OutboxRecord[]; appended: AppendedEvent[] } {
  const ownerOf = ({ idempotencyKey, eventId }: OutboxRecord) =>
    owners.get(idempotencyKey ?? '') ?? eventId;
  return {
    fresh: records.filter((record) => ownerOf(record) === record.eventId),
    appended: records.map((record) => ({
      eventId: ownerOf(record),
      duplicate: ownerOf(record) !== record.eventId,
    })),
  };
}
