import { MOVED_BEFORE_SECONDS, type QueuedCursor } from '../queued-page.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { eventColumns } from './events.sql.js';
import { isoUtc, NOW, toTime } from './sql-text.js';

/** If the generation still is the expected one. */
export function changeGeneration(
  tables: Tables,
  namespace: string,
  from: string | undefined,
  to: string,
  wiped: boolean,
): Statement {
  return {
    text: `UPDATE ${tables.relay} SET queue_generation = ?, queue_wipes = queue_wipes + ?,
        queue_wiped_at = iif(?, ${NOW}, queue_wiped_at)
      WHERE namespace = ? AND queue_generation IS ?`,
    values: [to, Number(wiped), Number(wiped), namespace, from ?? null],
  };
}

/**
 * A page of what is queued, in the order of the index of what is queued. Left out is what was queued
 * after the first page: those that queue it push it themselves. Those that the log has lost come
 * without an event.
 */
export function queuedDeliveries(
  tables: Tables,
  namespace: string,
  limit: number,
  from: QueuedCursor | undefined,
): Statement {
  const asOf = from === undefined ? null : toTime(from.asOf);
  const { text, values } = conditions(from);
  return {
    text: `SELECT page.position, page.handler, page.epoch, page.chunk,
        max(0, coalesce(page.retry_at - ${NOW}, 0)) AS due_in,
        ${isoUtc('page.rescue_at')} AS rescue_at, ${isoUtc(`coalesce(?, ${NOW})`)} AS as_of,
        ${eventColumns('log')}
      FROM (
        SELECT position, handler, epoch, chunk, retry_at, rescue_at FROM ${tables.deliveries}
        WHERE namespace = ? AND status = 'queued' AND rescue_at IS NOT NULL
          AND queued_at <= coalesce(?, ${NOW}) ${text}
        ORDER BY rescue_at, position, handler LIMIT ?
      ) AS page LEFT JOIN ${tables.log} AS log
        ON log.namespace = ? AND log.position = page.position
      ORDER BY page.rescue_at, page.position, page.handler`,
    values: [asOf, namespace, asOf, ...values, limit, namespace],
  };
}

/** Of the pass, and of the page in it. */
function conditions(from: QueuedCursor | undefined): Statement {
  const texts: string[] = [];
  const values: unknown[] = [];
  if (from?.moved === true) {
    texts.push('AND last_attempt_at >= ?');
    values.push(toTime(from.asOf) - MOVED_BEFORE_SECONDS * 1_000);
  }
  if (from?.after !== undefined) {
    const { rescueAt, position, handler } = from.after;
    texts.push('AND (rescue_at, position, handler) > (?, ?, ?)');
    values.push(toTime(rescueAt), position, handler);
  }
  return { text: texts.join(' '), values };
}
