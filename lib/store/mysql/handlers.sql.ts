import type { RegisteredHandler } from '../event-store.js';
import { handlerRows } from '../handler-row.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { bytes, epochMs, isoUtc } from './sql-text.js';

/** Handlers that are not retired. */
export function readHandlers(tables: Tables, namespace: string): Statement {
  return {
    text: `SELECT id, ${bytes('events')} AS events, queue, ${bytes('options')} AS options,
        ${epochMs('last_seen_at')} AS last_seen
      FROM ${tables.handlers} WHERE namespace = ? AND retired_at IS NULL ORDER BY id`,
    values: [namespace],
  };
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
  const stamps = (events: readonly string[]) =>
    `JSON_OBJECT(${events.map(() => `?, ${epochMs('UTC_TIMESTAMP(6)')}`).join(', ')})`;
  return {
    // VALUES(): what MySQL calls it since 8.0.20, MariaDB does not know.
    text: `INSERT INTO ${tables.handlers} (namespace, id, events, queue, options, first_seen_at, last_seen_at)
      VALUES ${rows
        .map(({ events }) => `(?, ?, ${stamps(events)}, ?, ?, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))`)
        .join(', ')}
      ON DUPLICATE KEY UPDATE events = JSON_MERGE_PATCH(events, VALUES(events)),
        queue = VALUES(queue), options = VALUES(options), last_seen_at = VALUES(last_seen_at)${alsoSet}`,
    values: rows.flatMap(({ id, events, queue, options }) => [
      namespace,
      id,
      ...events,
      queue,
      options,
    ]),
  };
}

/** Handlers that get no new deliveries. */
export function retireHandlers(
  tables: Tables,
  namespace: string,
  ids: readonly string[],
): Statement {
  return {
    text: `UPDATE ${tables.handlers} SET retired_at = UTC_TIMESTAMP(6)
      WHERE namespace = ? AND id IN (?) AND retired_at IS NULL`,
    values: [namespace, ids],
  };
}

/** Waits for a relay pass under way: it may be about to make deliveries for the handler. */
export function lockRelayForRetirement(tables: Tables, namespace: string): Statement {
  return {
    text: `SELECT namespace FROM ${tables.relay} WHERE namespace = ? FOR UPDATE`,
    values: [namespace],
  };
}

export function readHandlerRecords(tables: Tables, namespace: string): Statement {
  return {
    text: `SELECT id, ${bytes('events')} AS events, queue, ${bytes('options')} AS options,
        ${epochMs('h.last_seen_at')} AS last_seen, ${isoUtc('first_seen_at')} AS first_seen_at, ${isoUtc('h.last_seen_at')} AS last_seen_at,
        FLOOR(TIMESTAMPDIFF(MICROSECOND, h.last_seen_at, UTC_TIMESTAMP(6)) / 1000) AS unseen_ms,
        ${isoUtc('retired_at')} AS retired_at
      FROM ${tables.handlers} AS h WHERE namespace = ? ORDER BY id`,
    values: [namespace],
  };
}

export function countWaiting(
  tables: Tables,
  namespace: string,
  handlers: readonly string[],
): Statement {
  return {
    text: `SELECT handler, COUNT(*) AS waiting FROM ${tables.deliveries}
      WHERE namespace = ? AND status = 'queued' AND rescue_at IS NOT NULL AND handler IN (?)
      GROUP BY handler`,
    values: [namespace, handlers],
  };
}
