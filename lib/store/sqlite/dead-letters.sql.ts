import { parseBatchCursor } from '../batch-cursor.js';
import type { BatchRange, DeadLetterCriteria, DeadLetterKey } from '../dead-letter-store.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { isoUtc, LISTED, toTime } from './sql-text.js';

/** Conditions on `d` (a delivery) and `log` (its event). Upper and lower case: of ASCII letters. */
function where(namespace: string, criteria: DeadLetterCriteria): Statement {
  const { position, eventId, event, handler, error, deadFrom, deadUntil } = criteria;
  const conditions: [condition: string, value: unknown][] = [
    ['d.position = ?', position],
    ['log.event_id = ?', eventId?.toLowerCase()],
    ['log.name = ?', event],
    ['d.handler = ?', handler],
    ['instr(lower(d.last_error), lower(?)) > 0', error],
    ['d.dead_at >= ?', deadFrom && toTime(deadFrom)],
    ['d.dead_at < ?', deadUntil && toTime(deadUntil)],
  ];
  const given = conditions.filter(([, value]) => value !== undefined);
  const texts = ['d.namespace = ?', `d.status = 'dead'`, ...given.map(([text]) => text)];
  return { text: texts.join(' AND '), values: [namespace, ...given.map(([, value]) => value)] };
}

/** The event's columns are NULL where the log has lost it. */
const DELIVERY_AND_EVENT = (tables: Tables) => `${tables.deliveries} AS d
  LEFT JOIN ${tables.log} AS log ON log.namespace = d.namespace AND log.position = d.position`;

/** The last died first. */
export function listDeadLetters(
  tables: Tables,
  namespace: string,
  criteria: DeadLetterCriteria,
  limit: number,
  after?: DeadLetterKey,
): Statement {
  const { text, values } = where(namespace, criteria);
  const later = after === undefined ? '' : 'AND (d.dead_at, d.position, d.handler) < (?, ?, ?)';
  const key = after === undefined ? [] : [toTime(after.deadAt), after.position, after.handler];
  return {
    text: `SELECT d.position, d.handler, ${isoUtc('d.dead_at')} AS dead_at, log.event_id, log.name,
        log.version, ${isoUtc('log.occurred_at')} AS occurred_at, d.epoch,
        d.attempts, d.max_attempts, d.last_error
      FROM ${DELIVERY_AND_EVENT(tables)} WHERE ${text} ${later}
      ORDER BY d.dead_at DESC, d.position DESC, d.handler DESC LIMIT ?`,
    values: [...values, ...key, limit],
  };
}

/** Those that match and whose event the log has lost. */
export function countLost(
  tables: Tables,
  namespace: string,
  criteria: DeadLetterCriteria,
): Statement {
  const { text, values } = where(namespace, criteria);
  return {
    text: `SELECT count(*) AS lost FROM ${DELIVERY_AND_EVENT(tables)}
      WHERE ${text} AND log.position IS NULL`,
    values,
  };
}

export function readAttempts(
  tables: Tables,
  namespace: string,
  position: number,
  handler: string,
): Statement {
  return {
    text: `SELECT attempt, epoch, error, ${isoUtc('failed_at')} AS failed_at
      FROM ${tables.attempts} WHERE namespace = ? AND position = ? AND handler = ? ORDER BY attempt`,
    values: [namespace, position, handler],
  };
}

const HANDLED = `AND d.handler IN ${LISTED} AND log.position IS NOT NULL`;

/** Only what comes after the batch before. */
function afterBatch(range: BatchRange, time: string): Statement {
  const cursor = parseBatchCursor(range);
  if (cursor === undefined) return { text: '', values: [] };
  return {
    text: `AND (${time}, d.position, d.handler) > (?, ?, ?)`,
    values: [toTime(cursor.since), cursor.position, cursor.handler],
  };
}

/**
 * Dead letters of before the operation, a batch of them. Newer ones may be the same ones, dead again:
 * an operation would never end.
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
  const later = afterBatch(range, 'd.dead_at');
  return {
    text: `SELECT d.position, d.handler, ${isoUtc('d.dead_at')} AS since
      FROM ${DELIVERY_AND_EVENT(tables)}
      WHERE ${matching.text} ${handlers === undefined ? '' : HANDLED} ${later.text}
        AND d.dead_at <= (SELECT started_at FROM ${tables.operations} WHERE id = ?)
      ORDER BY d.dead_at, d.position, d.handler LIMIT ?`,
    values: [
      ...matching.values,
      ...(handlers === undefined ? [] : [JSON.stringify(handlers)]),
      ...later.values,
      operationId,
      range.limit,
    ],
  };
}

/** What waits for handlers, a batch of it. */
export function findWaiting(
  tables: Tables,
  namespace: string,
  handlers: readonly string[],
  range: BatchRange,
): Statement {
  const later = afterBatch(range, 'd.queued_at');
  return {
    text: `SELECT d.position, d.handler, ${isoUtc('d.queued_at')} AS since
      FROM ${tables.deliveries} AS d
      WHERE d.namespace = ? AND d.status = 'queued' AND d.handler IN ${LISTED} ${later.text}
      ORDER BY d.queued_at, d.position, d.handler LIMIT ?`,
    values: [namespace, JSON.stringify(handlers), ...later.values, range.limit],
  };
}
