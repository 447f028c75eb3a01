import type { ChunkedRef, DeliveryRef, FailedAttempt } from '../event-store.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { NOW } from './sql-text.js';

/** A delivery that is queued in the expected epoch. */
const QUEUED = `namespace = ? AND position = ? AND handler = ? AND epoch = ? AND status = 'queued'`;

const key = (namespace: string, { position, handler, epoch }: DeliveryRef) => [
  namespace,
  position,
  handler,
  epoch,
];

export function readState(
  tables: Tables,
  namespace: string,
  { position, handler }: DeliveryRef,
): Statement {
  return {
    text: `SELECT d.position, d.handler, log.event_id AS eventId, d.epoch, d.chunk, d.status, d.attempts,
        d.max_attempts AS maxAttempts
      FROM ${tables.deliveries} AS d
      JOIN ${tables.log} AS log ON log.namespace = d.namespace AND log.position = d.position
      WHERE d.namespace = ? AND d.position = ? AND d.handler = ?`,
    values: [namespace, position, handler],
  };
}

export function completeDelivery(tables: Tables, namespace: string, ref: DeliveryRef): Statement {
  return {
    text: `UPDATE ${tables.deliveries} SET status = 'completed', attempts = attempts + 1,
        last_attempt_at = ${NOW}, completed_at = ${NOW}, retry_at = NULL, rescue_at = NULL
      WHERE ${QUEUED}`,
    values: key(namespace, ref),
  };
}

/**
 * Records a failed attempt. It has its number: recorded twice (a lost answer, two runs of a stalled
 * job), it counts once.
 */
export function failDelivery(
  tables: Tables,
  namespace: string,
  failed: FailedAttempt,
  rescueAfterMs: number,
): Statement {
  const { attempt, error, dead, retryInMs } = failed;
  const retryIn = dead ? null : Math.round(retryInMs);
  const rescueIn = dead ? null : Math.round(retryInMs + rescueAfterMs);
  return {
    text: `UPDATE ${tables.deliveries} SET attempts = ?, last_error = ?, last_attempt_at = ${NOW},
        chunk = NULL, status = ?, dead_at = iif(?, ${NOW}, NULL), retry_at = ${NOW} + ?, rescue_at = ${NOW} + ?
      WHERE ${QUEUED} AND attempts IN (?, ?)`,
    values: [
      attempt,
      error,
      dead ? 'dead' : 'queued',
      Number(dead),
      retryIn,
      rescueIn,
      ...key(namespace, failed),
      attempt - 1,
      attempt,
    ],
  };
}

/** Writes a failed attempt down; one that is there already is left as it is. */
export function recordAttempt(tables: Tables, namespace: string, failed: FailedAttempt): Statement {
  const { position, handler, attempt, epoch, error } = failed;
  return {
    text: `INSERT INTO ${tables.attempts} (namespace, position, handler, attempt, epoch, error, failed_at)
      VALUES (?, ?, ?, ?, ?, ?, ${NOW}) ON CONFLICT DO NOTHING`,
    values: [namespace, position, handler, attempt, epoch, error],
  };
}

/** Sets the time of rescue of a delivery that is queued in the expected epoch. */
export function setRescueTime(
  tables: Tables,
  namespace: string,
  ref: DeliveryRef,
  at: number,
): Statement {
  return {
    text: `UPDATE ${tables.deliveries} SET rescue_at = ? WHERE ${QUEUED}`,
    values: [at, ...key(namespace, ref)],
  };
}

/** Moves a delivery that is queued in the expected epoch to another chunk. */
export function setChunk(tables: Tables, namespace: string, ref: ChunkedRef): Statement {
  return {
    text: `UPDATE ${tables.deliveries} SET chunk = ? WHERE ${QUEUED}`,
    values: [ref.chunk, ...key(namespace, ref)],
  };
}

/** Queued deliveries that should be done by now. */
export function readOverdue(tables: Tables, namespace: string, batchSize: number): Statement {
  return {
    text: `SELECT position, handler, epoch, chunk FROM ${tables.deliveries}
      WHERE namespace = ? AND status = 'queued' AND rescue_at <= ${NOW}
      ORDER BY rescue_at, position, handler LIMIT ?`,
    values: [namespace, batchSize],
  };
}

/**
 * Postpones an overdue delivery by as long as it has waited already, so that a long healthy backlog is
 * looked at ever more seldom (at most an hour).
 */
export function postpone(
  tables: Tables,
  namespace: string,
  ref: DeliveryRef,
  { now, rescueAfterMs }: { now: number; rescueAfterMs: number },
): Statement {
  return {
    text: `UPDATE ${tables.deliveries}
      SET rescue_at = ? + min(max(?, ? - queued_at), 3600000) WHERE ${QUEUED}`,
    values: [now, Math.round(rescueAfterMs), now, ...key(namespace, ref)],
  };
}
