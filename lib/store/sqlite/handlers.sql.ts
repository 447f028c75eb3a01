import type { HandlerRow } from '../handler-row.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { isoUtc, LISTED, NOW } from './sql-text.js';

/** Handlers that are not retired. */
export function readHandlers(tables: Tables, namespace: string): Statement {
  return {
    text: `SELECT id, events, queue, options, last_seen_at AS last_seen
      FROM ${tables.handlers} WHERE namespace = ? AND retired_at IS NULL ORDER BY id`,
    values: [namespace],
  };
}

/**
 * Adds a handler, or says again what it is. Events are added to those that other processes take;
 * `eventsOf` leaves out what nobody takes.
 *
 * @param revive bring it back, if it was retired
 */
export function saveHandler(
  tables: Tables,
  namespace: string,
  { id, events, queue, options }: HandlerRow,
  revive: boolean,
): Statement {
  const stamps = `(SELECT json_group_object(value, ${NOW})
        FROM (SELECT DISTINCT value FROM json_each(?)))`;
  return {
    text: `INSERT INTO ${tables.handlers} (namespace, id, events, queue, options, first_seen_at, last_seen_at)
      VALUES (?, ?, ${stamps}, ?, ?, ${NOW}, ${NOW})
      ON CONFLICT (namespace, id) DO UPDATE SET events = json_patch(events, excluded.events),
        queue = excluded.queue, options = excluded.options,
        last_seen_at = excluded.last_seen_at${revive ? ', retired_at = NULL' : ''}`,
    values: [namespace, id, JSON.stringify(events), queue, options],
  };
}

/** A handler that gets no new deliveries. */
export function retireHandler(tables: Tables, namespace: string, id: string): Statement {
  return {
    text: `UPDATE ${tables.handlers} SET retired_at = ${NOW}
      WHERE namespace = ? AND id = ? AND retired_at IS NULL`,
    values: [namespace, id],
  };
}

export function readHandlerRecords(tables: Tables, namespace: string): Statement {
  return {
    text: `SELECT id, events, queue, options, h.last_seen_at AS last_seen,
        ${isoUtc('h.first_seen_at')} AS first_seen_at, ${isoUtc('h.last_seen_at')} AS last_seen_at,
        ${NOW} - h.last_seen_at AS unseen_ms, ${isoUtc('h.retired_at')} AS retired_at
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
    text: `SELECT handler, count(*) AS waiting FROM ${tables.deliveries}
      WHERE namespace = ? AND status = 'queued' AND handler IN ${LISTED} GROUP BY handler`,
    values: [namespace, JSON.stringify(handlers)],
  };
}
