import { MOVED_BEFORE_SECONDS, type QueuedCursor } from '../queued-page.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { eventColumns } from './events.sql.js';

export function readGeneration(tables: Tables, namespace: string, lock = false): Statement {
  return {
    text: `SELECT queue_generation FROM ${tables.relay} WHERE namespace = ?${lock ? ' FOR UPDATE' : ''}`,
    values: [namespace],
  };
}

/** In the transaction that has locked the row and compared the generation. */
export function writeGeneration(
  tables: Tables,
  namespace: string,
  to: string,
  wiped: boolean,
): Statement {
  return {
    text: `UPDATE ${tables.relay} SET queue_generation = ?, queue_wipes = queue_wipes + ?,
        queue_wiped_at = IF(?, UTC_TIMESTAMP(6), queue_wiped_at)
      WHERE namespace = ?`,
    values: [to, Number(wiped), Number(wiped), namespace],
  };
}

const MICROSECONDS = `'%Y-%m-%d %H:%i:%s.%f'`;
const time = 'CAST(? AS DATETIME(6))';

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
  const asOf = from?.asOf ?? null;
  const { text, values } = conditions(from);
  return {
    text: `SELECT page.position, page.handler, page.epoch, page.chunk,
        FLOOR(GREATEST(0, COALESCE(
          TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), page.retry_at), 0)) / 1000) AS due_in,
        DATE_FORMAT(page.rescue_at, ${MICROSECONDS}) AS rescue_at,
        DATE_FORMAT(COALESCE(${time}, UTC_TIMESTAMP(6)), ${MICROSECONDS}) AS as_of,
        ${eventColumns('log')}
      FROM (
        SELECT position, handler, epoch, chunk, retry_at, rescue_at FROM ${tables.deliveries}
        WHERE namespace = ? AND status = 'queued' AND rescue_at IS NOT NULL
          AND queued_at <= COALESCE(${time}, UTC_TIMESTAMP(6)) ${text}
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
    texts.push(`AND last_attempt_at >= ${time} - INTERVAL ${MOVED_BEFORE_SECONDS} SECOND`);
    values.push(from.asOf);
  }
  if (from?.after !== undefined) {
    const { rescueAt, position, handler } = from.after;
    // The first part is for the index; rows are not compared by one.
    texts.push(`AND rescue_at >= ${time} AND (rescue_at, position, handler) > (${time}, ?, ?)`);
    values.push(rescueAt, rescueAt, position, handler);
  }
  return { text: texts.join(' '), values };
}
