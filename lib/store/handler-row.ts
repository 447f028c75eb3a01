import type { HandlerRecord, RegisteredHandler } from './event-store.js';

/** Living processes say every minute which handlers they have; twice missed, one is gone. In ms. */
export const GONE_MS = 150_000;

/** A handler as its row is written: events and options as JSON text. */
export interface HandlerRow {
  readonly id: string;
  readonly events: readonly string[];
  readonly queue: string;
  readonly options: string;
}

/** A row as it is read, its JSON parsed. */
export interface StoredHandler {
  readonly id: string;
  /** Name of an event → when a process last said that this handler takes it, in ms since 1970. */
  readonly events: Readonly<Record<string, number>>;
  readonly queue: string;
  readonly options: Omit<RegisteredHandler, 'id' | 'events' | 'queue'>;
  /** When a process last said that it has this handler, in ms since 1970. */
  readonly lastSeen: number;
}

/** A handler as queries return it, where they return JSON as text. */
export interface StoredHandlerRow {
  readonly id: string;
  readonly events: string;
  readonly queue: string;
  readonly options: string;
  readonly last_seen: string;
}

export interface HandlerRecordRow extends StoredHandlerRow {
  readonly first_seen_at: string;
  readonly last_seen_at: string;
  readonly unseen_ms: string;
  readonly retired_at: string | null;
}

export function toStoredHandler(row: StoredHandlerRow): StoredHandler {
  return {
    id: row.id,
    queue: row.queue,
    events: JSON.parse(row.events) as StoredHandler['events'],
    options: JSON.parse(row.options) as StoredHandler['options'],
    lastSeen: Number(row.last_seen),
  };
}

export function toHandlerRecord(row: HandlerRecordRow): HandlerRecord {
  const stored = toStoredHandler(row);
  return {
    ...toRegistered(stored),
    firstSeenAt: row.first_seen_at,
    lastSeenAt: row.last_seen_at,
    unseenMs: Number(row.unseen_ms),
    retiredAt: row.retired_at,
  };
}

/** Rows to write, sorted: processes that boot at once must not deadlock. */
export function handlerRows(handlers: readonly RegisteredHandler[]): HandlerRow[] {
  return handlers
    .toSorted((a, b) => (a.id < b.id ? -1 : 1))
    .map(({ id, events, queue, ...options }) => ({
      id,
      events,
      queue,
      options: JSON.stringify(options),
    }));
}

/**
 * Those that get deliveries, of all that are not retired. During a deployment processes disagree
 * about a handler: it takes the events that any of them takes. Of a handler and its former id, only
 * one gets deliveries: the one that took over, unless nobody has that any more (a deployment that
 * was rolled back).
 */
export function subscribers(stored: readonly StoredHandler[]): RegisteredHandler[] {
  const byId = new Map(stored.map((handler) => [handler.id, handler]));
  const superseded = new Set<string>();
  for (const heir of stored) {
    for (const alias of heir.options.aliases) {
      const former = byId.get(alias);
      if (former !== undefined) superseded.add(loserOf(heir, former).id);
    }
  }
  return stored.filter(({ id }) => !superseded.has(id)).map(toRegistered);
}

/** The events that a living process takes; all, where none has been seen since. */
export function eventsOf({ events, lastSeen }: StoredHandler): string[] {
  return Object.keys(events)
    .filter((name) => (events[name] ?? 0) >= lastSeen - GONE_MS)
    .toSorted();
}

function toRegistered(handler: StoredHandler): RegisteredHandler {
  const { id, queue, options } = handler;
  return { ...options, id, queue, events: eventsOf(handler) };
}

function loserOf(heir: StoredHandler, former: StoredHandler): StoredHandler {
  // Renamed and named back: each is the other's former id.
  const mutual = former.options.aliases.includes(heir.id);
  const grace = mutual ? 0 : GONE_MS;
  if (heir.lastSeen !== former.lastSeen - grace) {
    return heir.lastSeen > former.lastSeen - grace ? former : heir;
  }
  return heir.id > former.id ? former : heir;
}
