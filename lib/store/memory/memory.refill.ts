import { compareKeys } from '../lock-order.js';
import type { QueuedPage } from '../event-store.js';
import { MOVED_BEFORE_SECONDS, nextQueuedPage, parseCursor } from '../queued-page.js';
import type { MemoryData } from './memory.data.js';
import { ensureRelayRow } from './memory.relay.js';
import { iso, toLoggedEvent, type DeliveryRow } from './memory.rows.js';

export function changeQueueGeneration(
  data: MemoryData,
  from: string | undefined,
  to: string,
  wiped: boolean,
): boolean {
  const row = ensureRelayRow(data);
  if (row.queueGeneration !== from) return false;
  row.queueGeneration = to;
  if (wiped) {
    row.queueWipes++;
    row.queueWipedAt = data.now();
  }
  return true;
}

/** A page of what is queued, in the order of the times of rescue. */
export function queuedDeliveries(
  data: MemoryData,
  limit: number,
  from: string | undefined,
): QueuedPage {
  const now = data.now();
  const cursor = parseCursor(from);
  const asOf = cursor === undefined ? now : Date.parse(cursor.asOf);
  const after = cursor?.after && { ...cursor.after, rescueAt: Date.parse(cursor.after.rescueAt) };
  const movedSince = cursor?.moved === true ? asOf - MOVED_BEFORE_SECONDS * 1_000 : undefined;
  const rows = data
    .deliveries()
    .filter(isWaiting)
    .filter(({ queuedAt }) => queuedAt <= asOf)
    .filter(({ lastAttemptAt: at }) => movedSince === undefined || (at ?? 0) >= movedSince)
    .filter((row) => after === undefined || compare(row, after) > 0)
    .toSorted(compare)
    .slice(0, limit);
  const last = rows.at(-1);
  return {
    deliveries: rows.flatMap(({ position, handler, epoch, chunk, retryAt }) => {
      const event = data.log.get(position);
      if (event === undefined) return [];
      const dueInMs = Math.max(0, (retryAt ?? now) - now);
      return [{ position, handler, epoch, chunk, event: toLoggedEvent(event), dueInMs }];
    }),
    again: cursor?.moved ?? false,
    next: nextQueuedPage(
      last && { ...last, rescueAt: iso(last.rescueAt) },
      rows.length >= limit,
      cursor ?? (last && { asOf: iso(asOf), moved: false }),
    ),
  };
}

type Waiting = Pick<DeliveryRow, 'position' | 'handler'> & { readonly rescueAt: number };

function isWaiting(row: DeliveryRow): row is DeliveryRow & Waiting {
  return row.status === 'queued' && row.rescueAt !== null;
}

function compare(a: Waiting, b: Waiting): number {
  return a.rescueAt - b.rescueAt || compareKeys(a, b);
}
