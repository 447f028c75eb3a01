import type { DeliveryRecord, EventRecord, LoggedEvent } from '../event-store.js';
import type { MemoryData } from './memory.data.js';
import {
  iso,
  isoOrNull,
  toLoggedEvent,
  type DeliveryRow,
  type EventFields,
  type LogRow,
  type OutboxRow,
} from './memory.rows.js';

export function readEvents(data: MemoryData, positions: readonly number[]): LoggedEvent[] {
  return [...new Set(positions)].flatMap((position) => {
    const row = data.log.get(position);
    return row === undefined ? [] : [toLoggedEvent(row)];
  });
}

/** The newest events about one entity, oldest first; waiting ones last. */
export function eventsOfEntity(
  data: MemoryData,
  type: string,
  id: string,
  limit: number,
): EventRecord[] {
  const about = ({ entityType, entityId }: EventFields) => entityType === type && entityId === id;
  const rows: (LogRow | OutboxRow)[] = [...data.log.values(), ...data.outbox.values()];
  const found = rows.filter(about);
  return found.slice(Math.max(0, found.length - limit)).map((row) => toEventRecord(data, row));
}

export function eventById(data: MemoryData, eventId: string): EventRecord | undefined {
  const id = eventId.toLowerCase();
  const rows: (LogRow | OutboxRow)[] = [...data.log.values(), ...data.outbox.values()];
  const row = rows.find((each) => each.eventId === id);
  return row && toEventRecord(data, row);
}

function toEventRecord(data: MemoryData, row: LogRow | OutboxRow): EventRecord {
  const position = 'position' in row ? row.position : null;
  const deliveries = position === null ? [] : data.deliveriesOf(position).map(toDeliveryRecord);
  return { ...toLoggedEvent({ ...row, position: position ?? 0 }), position, deliveries };
}

function toDeliveryRecord(row: DeliveryRow): DeliveryRecord {
  const { handler, status, attempts, maxAttempts, lastError, discardReason } = row;
  return {
    handler,
    status,
    attempts,
    maxAttempts,
    lastError,
    queuedAt: iso(row.queuedAt),
    lastAttemptAt: isoOrNull(row.lastAttemptAt),
    retryAt: isoOrNull(row.retryAt),
    completedAt: isoOrNull(row.completedAt),
    deadAt: isoOrNull(row.deadAt),
    discardedAt: isoOrNull(row.discardedAt),
    discardReason,
  };
}
