import { toLoggedEvent, type EventRow } from './event-row.js';
import type { DeliveryRecord, DeliveryStatus, EventRecord } from './event-store.js';

/** A delivery as the dialects' queries return it. */
export interface DeliveryRow {
  readonly position: string;
  readonly handler: string;
  readonly status: DeliveryStatus;
  readonly attempts: string;
  readonly max_attempts: string;
  readonly last_error: string | null;
  readonly queued_at: string;
  readonly last_attempt_at: string | null;
  readonly retry_at: string | null;
  readonly completed_at: string | null;
  readonly dead_at: string | null;
  readonly discarded_at: string | null;
  readonly discard_reason: string | null;
}

/** Events with their deliveries, both in the order of their rows. */
export function toEventRecords(
  rows: readonly EventRow[],
  deliveryRows: readonly DeliveryRow[],
): EventRecord[] {
  const deliveries = new Map<number, DeliveryRecord[]>();
  for (const row of deliveryRows) {
    const position = Number(row.position);
    const own = deliveries.get(position);
    if (own === undefined) deliveries.set(position, [toDeliveryRecord(row)]);
    else own.push(toDeliveryRecord(row));
  }
  return rows.map((row) => {
    const position = row.position === null ? null : Number(row.position);
    const own = position === null ? [] : (deliveries.get(position) ?? []);
    return { ...toLoggedEvent(row), position, deliveries: own };
  });
}

function toDeliveryRecord(row: DeliveryRow): DeliveryRecord {
  return {
    handler: row.handler,
    status: row.status,
    attempts: Number(row.attempts),
    maxAttempts: Number(row.max_attempts),
    lastError: row.last_error,
    queuedAt: row.queued_at,
    lastAttemptAt: row.last_attempt_at,
    retryAt: row.retry_at,
    completedAt: row.completed_at,
    deadAt: row.dead_at,
    discardedAt: row.discarded_at,
    discardReason: row.discard_reason,
  };
}
