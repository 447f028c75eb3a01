import type { HandlerRecord, RegisteredHandler } from '../event-store.js';
import { eventsOf, handlerRows, subscribers, type StoredHandler } from '../handler-row.js';
import type { MemoryData } from './memory.data.js';
import { iso, isoOrNull, type HandlerRow } from './memory.rows.js';

/** Adds handlers, or says again what they are; events are added to those that other processes take. */
export function saveHandlers(
  data: MemoryData,
  handlers: readonly RegisteredHandler[],
  { revive }: { revive: boolean },
): void {
  const now = data.now();
  for (const { id, events, queue, options } of handlerRows(handlers)) {
    const known = data.handlers.get(id);
    data.handlers.set(id, {
      id,
      queue,
      events: { ...known?.events, ...Object.fromEntries(events.map((name) => [name, now])) },
      options: JSON.parse(options) as HandlerRow['options'],
      firstSeenAt: known?.firstSeenAt ?? now,
      lastSeenAt: now,
      retiredAt: revive ? null : (known?.retiredAt ?? null),
    });
  }
}

/** Handlers that get deliveries. */
export function subscribed(data: MemoryData): RegisteredHandler[] {
  const active = sorted(data).filter(({ retiredAt }) => retiredAt === null);
  return subscribers(active.map(toStored));
}

export function handlerRecords(data: MemoryData): HandlerRecord[] {
  const now = data.now();
  return sorted(data).map((row) => ({
    ...row.options,
    id: row.id,
    queue: row.queue,
    events: eventsOf(toStored(row)),
    firstSeenAt: iso(row.firstSeenAt),
    lastSeenAt: iso(row.lastSeenAt),
    unseenMs: now - row.lastSeenAt,
    retiredAt: isoOrNull(row.retiredAt),
  }));
}

export function retireHandler(data: MemoryData, id: string): boolean {
  const row = data.handlers.get(id);
  if (row === undefined || row.retiredAt !== null) return false;
  data.handlers.set(id, { ...row, retiredAt: data.now() });
  return true;
}

export function waiting(data: MemoryData, handlers: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { handler, status } of data.deliveries()) {
    if (status !== 'queued' || !handlers.includes(handler)) continue;
    counts.set(handler, (counts.get(handler) ?? 0) + 1);
  }
  return counts;
}

function sorted(data: MemoryData): HandlerRow[] {
  return [...data.handlers.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

function toStored({ id, events, queue, options, lastSeenAt }: HandlerRow): StoredHandler {
  return { id, events, queue, options, lastSeen: lastSeenAt };
}
