import type { DeadLetterCriteria, DeadLetterKey } from '../dead-letter-store.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { bytes, exactUtc, isoUtc, toDatetime } from './sql-text.js';

export interface Conditions {
  readonly text: string;
  readonly values: unknown[];
}

/** Conditions on `d` (a delivery) and `log` (its event). */
export function where(namespace: string, criteria: DeadLetterCriteria): Conditions {
  // The last one is for the index: with fewer than the page takes, it would be read to its end.
  const texts = [`d.namespace = ?`, `d.status = 'dead'`, 'd.dead_since IS NOT NULL'];
  const values: unknown[] = [namespace];
  const add = (value: string | number | undefined, condition: string) => {
    if (value === undefined) return;
    texts.push(condition);
    values.push(value);
  };
  add(criteria.position, 'd.position = ?');
  add(criteria.eventId?.toLowerCase(), 'log.event_id = ?');
  add(criteria.event, 'log.name = ?');
  add(criteria.handler, 'd.handler = ?');
  add(criteria.error, 'LOCATE(LOWER(?), LOWER(d.last_error)) > 0');
  add(criteria.deadFrom && toDatetime(criteria.deadFrom), 'd.dead_since >= CAST(? AS DATETIME(6))');
  add(
    criteria.deadUntil && toDatetime(criteria.deadUntil),
    'd.dead_since < CAST(? AS DATETIME(6))',
  );
  return { text: texts.join(' AND '), values };
}

/**
 * For SELECT STRAIGHT_JOIN: deliveries first. The event's columns are NULL where the log has lost it.
 */
export const DELIVERY_AND_EVENT = (tables: Tables) => `${tables.deliveries} AS d
  FORCE INDEX (deliveries_dead)
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
  let condition = text;
  if (after !== undefined) {
    const at = toDatetime(after.deadAt);
    // The first part is for the index; rows are not compared by one.
    condition += ` AND d.dead_since <= CAST(? AS DATETIME(6))
      AND (d.dead_since, d.position, d.handler) < (CAST(? AS DATETIME(6)), ?, ?)`;
    values.push(at, at, after.position, after.handler);
  }
  return {
    text: `SELECT STRAIGHT_JOIN d.position, d.handler, ${exactUtc('d.dead_since')} AS dead_at,
        log.event_id, log.name, log.version, ${isoUtc('log.occurred_at')} AS occurred_at, d.epoch, d.attempts,
        d.max_attempts, ${bytes('d.last_error')} AS last_error
      FROM ${DELIVERY_AND_EVENT(tables)} WHERE ${condition}
      ORDER BY d.dead_since DESC, d.position DESC, d.handler DESC LIMIT ?`,
    values: [...values, limit],
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
    text: `SELECT STRAIGHT_JOIN COUNT(*) AS lost FROM ${DELIVERY_AND_EVENT(tables)}
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
    text: `SELECT attempt, epoch, ${bytes('error')} AS error, ${isoUtc('failed_at')} AS failed_at
      FROM ${tables.attempts} WHERE namespace = ? AND position = ? AND handler = ? ORDER BY attempt`,
    values: [namespace, position, handler],
  };
}
