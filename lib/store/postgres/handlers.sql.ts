import type { HandlerRecord, RegisteredHandler } from '../event-store.js';
import { eventsOf, handlerRows, subscribers, type StoredHandler } from '../handler-row.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { epochMs, isoUtc } from './events.sql.js';

/**
 * A scalar subquery with the handlers that are not retired, as JSON text for `subscribers`. Needs
 * `$1 = namespace`.
 */
export function selectHandlersAsJson(tables: Tables): string {
  return `(SELECT coalesce(json_agg(json_build_object('id', h.id, 'events', h.events,
      'queue', h.queue, 'options', h.options, 'lastSeen', ${epochMs('h.last_seen_at')})
      ORDER BY h.id), '[]')::text
    FROM ${tables.handlers} AS h
    WHERE h.namespace = $1 AND h.retired_at IS NULL)`;
}

export function readHandlers(tables: Tables, namespace: string): Statement {
  return { text: `SELECT ${selectHandlersAsJson(tables)} AS handlers`, values: [namespace] };
}

/** What {@link readHandlers} found, as handlers that get deliveries. */
export function parseSubscribers(json: string): RegisteredHandler[] {
  return subscribers(JSON.parse(json) as StoredHandler[]);
}

/** Adds new handlers, updates known ones and brings retired ones back. */
export function upsertHandlers(
  tables: Tables,
  namespace: string,
  handlers: readonly RegisteredHandler[],
): Statement {
  return insertHandlers(tables, namespace, handlers, ', retired_at = NULL');
}

/** Says that handlers are still there, and how; adds those that somebody deleted. */
export function renewHandlers(
  tables: Tables,
  namespace: string,
  handlers: readonly RegisteredHandler[],
): Statement {
  return insertHandlers(tables, namespace, handlers, '');
}

/** Events are added to those that other processes take; `eventsOf` leaves out what nobody takes. */
function insertHandlers(
  tables: Tables,
  namespace: string,
  handlers: readonly RegisteredHandler[],
  alsoSet: string,
): Statement {
  const rows = handlerRows(handlers);
  return {
    text: `INSERT INTO ${tables.handlers} AS h (namespace, id, events, queue, options, first_seen_at, last_seen_at)
      SELECT $1, id, (SELECT coalesce(jsonb_object_agg(name, ${epochMs('clock_timestamp()')}), '{}')
          FROM jsonb_array_elements_text(handler.events) AS name),
        queue, options, clock_timestamp(), clock_timestamp()
      FROM unnest($2::text[], $3::jsonb[], $4::text[], $5::jsonb[]) AS handler(id, events, queue, options)
      ON CONFLICT (namespace, id) DO UPDATE SET events = h.events || excluded.events,
        queue = excluded.queue, options = excluded.options, last_seen_at = excluded.last_seen_at${alsoSet}`,
    values: [
      namespace,
      rows.map(({ id }) => id),
      rows.map(({ events }) => JSON.stringify(events)),
      rows.map(({ queue }) => queue),
      rows.map(({ options }) => options),
    ],
  };
}

/** Handlers that get no new deliveries; returns those that did until now. */
export function retireHandlers(
  tables: Tables,
  namespace: string,
  ids: readonly string[],
): Statement {
  return {
    text: `WITH retired AS (
        UPDATE ${tables.handlers} SET retired_at = clock_timestamp()
        WHERE namespace = $1 AND id = ANY($2::text[]) AND retired_at IS NULL RETURNING id
      ) SELECT id FROM retired`,
    values: [namespace, ids],
  };
}

/** Waits for a relay pass under way: it may be about to make deliveries for the handler. */
export function lockRelayForRetirement(tables: Tables, namespace: string): Statement {
  return {
    text: `SELECT namespace FROM ${tables.relay} WHERE namespace = $1 FOR UPDATE`,
    values: [namespace],
  };
}

interface HandlerRow extends StoredHandler {
  readonly firstSeenAt: string;
  readonly lastSeenAt: string;
  readonly unseenMs: number;
  readonly retiredAt: string | null;
}

export function readHandlerRecords(tables: Tables, namespace: string): Statement {
  return {
    text: `SELECT coalesce(json_agg(json_build_object('id', h.id, 'events', h.events,
        'queue', h.queue, 'options', h.options, 'lastSeen', ${epochMs('h.last_seen_at')},
        'firstSeenAt', ${isoUtc('h.first_seen_at')},
        'lastSeenAt', ${isoUtc('h.last_seen_at')},
        'unseenMs', (extract(epoch FROM clock_timestamp() - h.last_seen_at) * 1000)::bigint,
        'retiredAt', ${isoUtc('h.retired_at')}) ORDER BY h.id), '[]')::text AS handlers
      FROM ${tables.handlers} AS h WHERE h.namespace = $1`,
    values: [namespace],
  };
}

export function parseHandlerRecords(json: string): HandlerRecord[] {
  return (JSON.parse(json) as HandlerRow[]).map((row) => {
    const { id, queue, options, firstSeenAt, lastSeenAt, unseenMs, retiredAt } = row;
    const seen = { firstSeenAt, lastSeenAt, unseenMs, retiredAt };
    return { ...options, id, queue, events: eventsOf(row), ...seen };
  });
}

export function countWaiting(
  tables: Tables,
  namespace: string,
  handlers: readonly string[],
): Statement {
  return {
    text: `SELECT handler, count(*)::text AS waiting FROM ${tables.deliveries}
      WHERE namespace = $1 AND status = 'queued' AND handler = ANY($2::text[]) GROUP BY handler`,
    values: [namespace, handlers],
  };
}
