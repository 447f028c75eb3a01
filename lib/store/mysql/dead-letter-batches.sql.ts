import { parseBatchCursor } from '../batch-cursor.js';
import type { BatchRange, DeadLetterCriteria } from '../dead-letter-store.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { DELIVERY_AND_EVENT, where, type Conditions } from './dead-letters.sql.js';
import { bytes, epochMs, exactUtc, toDatetime } from './sql-text.js';

/**
 * The handlers that are not retired. All rows stay locked until the batch has ended: none is retired
 * or comes back meanwhile.
 */
export function holdHandlers(tables: Tables, namespace: string): Statement {
  return {
    text: `SELECT id, ${bytes('events')} AS events, queue, ${bytes('options')} AS options,
        ${epochMs('last_seen_at')} AS last_seen, retired_at IS NULL AS active
      FROM ${tables.handlers} AS h WHERE namespace = ? ORDER BY h.id LOCK IN SHARE MODE`,
    values: [namespace],
  };
}

const HANDLED = 'AND d.handler IN (?) AND log.position IS NOT NULL';

/** Only what comes after the batch before; the first part is for the index. */
function after(range: BatchRange, time: string): Conditions {
  const cursor = parseBatchCursor(range);
  if (cursor === undefined) return { text: '', values: [] };
  const since = toDatetime(cursor.since);
  return {
    text: `AND ${time} >= CAST(? AS DATETIME(6))
      AND (${time}, d.position, d.handler) > (CAST(? AS DATETIME(6)), ?, ?)`,
    values: [since, since, cursor.position, cursor.handler],
  };
}

/**
 * Dead letters of before the operation, a batch of them, not locked yet. Newer ones may be the same
 * ones, dead again: an operation would never end.
 *
 * @param handlers only theirs, and only with an event to be handled; undefined: all
 */
export function findDeadLetters(
  tables: Tables,
  namespace: string,
  operationId: number,
  criteria: DeadLetterCriteria,
  handlers: readonly string[] | undefined,
  range: BatchRange,
): Statement {
  const matching = where(namespace, criteria);
  const later = after(range, 'd.dead_since');
  return {
    text: `SELECT STRAIGHT_JOIN d.position, d.handler, ${exactUtc('d.dead_since')} AS since
      FROM ${DELIVERY_AND_EVENT(tables)}
      WHERE ${matching.text} ${handlers === undefined ? '' : HANDLED} ${later.text}
        AND d.dead_since <= (SELECT started_at FROM ${tables.operations} WHERE id = ?)
      ORDER BY d.dead_since, d.position, d.handler LIMIT ?`,
    values: [
      ...matching.values,
      ...(handlers === undefined ? [] : [handlers]),
      ...later.values,
      operationId,
      range.limit,
    ],
  };
}

export function findWaiting(
  tables: Tables,
  namespace: string,
  handlers: readonly string[],
  range: BatchRange,
): Statement {
  const later = after(range, 'd.queued_since');
  return {
    text: `SELECT d.position, d.handler, ${exactUtc('d.queued_since')} AS since
      FROM ${tables.deliveries} AS d FORCE INDEX (deliveries_waiting)
      WHERE d.namespace = ? AND d.queued_since IS NOT NULL AND d.handler IN (?) ${later.text}
      ORDER BY d.queued_since, d.position, d.handler LIMIT ?`,
    values: [namespace, handlers, ...later.values, range.limit],
  };
}
