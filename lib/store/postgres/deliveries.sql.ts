import type { ChunkedRef, DeliveryRef, FailedAttempt } from '../event-store.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { eventAt } from './events.sql.js';
import { count } from './ledger.sql.js';

/**
 * That a delivery is queued, in words that no partial index promises: by one of those the planner would
 * walk through all that is queued, wherever its statistics are younger than the backlog.
 */
export const QUEUED = `(d.status || '') = 'queued'`;

function keys(namespace: string, refs: readonly DeliveryRef[]): unknown[] {
  return [
    namespace,
    refs.map(({ position }) => position),
    refs.map(({ handler }) => handler),
    refs.map(({ epoch }) => epoch),
  ];
}

/**
 * States in the order asked (`ordinal` counts from 1); deliveries that don't exist are left out. LIMIT
 * makes the planner look each one up, whatever its statistics say.
 */
export function readStates(
  tables: Tables,
  namespace: string,
  refs: readonly DeliveryRef[],
): Statement {
  return {
    text: `SELECT asked.ordinal::text AS ordinal, d.status, d.epoch::text AS epoch,
        d.chunk::text AS chunk, d.attempts::text AS attempts, d.max_attempts::text AS max_attempts,
        log.event_id::text AS event_id
      FROM unnest($2::bigint[], $3::text[]) WITH ORDINALITY AS asked(position, handler, ordinal)
      CROSS JOIN LATERAL (SELECT * FROM ${tables.deliveries} WHERE namespace = $1
        AND position = asked.position AND handler = asked.handler LIMIT 1) AS d
      CROSS JOIN LATERAL ${eventAt(tables, 'asked.position')} AS log`,
    values: keys(namespace, refs).slice(0, 3),
  };
}

/**
 * Completes deliveries that are queued in the expected epoch, and counts them in the ledger; returns
 * those. They are named by a text each: joined with a list of them, a planner that takes the table for
 * small compares every row with every name (500 at once so: 5 ms instead of 150).
 *
 * @param nowait fails where another transaction has a row, rather than wait for it
 */
export function completeDeliveries(
  tables: Tables,
  namespace: string,
  refs: readonly DeliveryRef[],
  nowait = false,
): Statement {
  const asked = `d.namespace = $1 AND d.position = ANY($2::bigint[])
          AND (d.position || ' ' || d.epoch || ' ' || d.handler) = ANY($3::text[])`;
  const locked = `locked AS MATERIALIZED (
        SELECT d.position FROM ${tables.deliveries} AS d WHERE ${asked} AND ${QUEUED} FOR UPDATE NOWAIT
      ), `;
  return {
    text: `WITH ${nowait ? locked : ''}completed AS (
        UPDATE ${tables.deliveries} AS d SET status = 'completed', attempts = d.attempts + 1,
          last_attempt_at = clock_timestamp(), completed_at = clock_timestamp(), retry_at = NULL,
          rescue_at = NULL
        WHERE ${asked} AND ${QUEUED}${nowait ? ' AND (SELECT count(*) FROM locked) > 0' : ''}
        RETURNING d.position, d.handler
      ), counted AS (${count(tables, 'completed', 'completed')})
      SELECT position::text AS position, handler FROM completed`,
    values: [
      namespace,
      refs.map(({ position }) => position),
      refs.map(({ position, epoch, handler }) => `${position} ${epoch} ${handler}`),
    ],
  };
}

/**
 * Records failed attempts of deliveries that are queued in the expected epoch. An attempt has its
 * number: recorded twice (a lost answer, two runs of a stalled job), it counts once.
 */
export function failDeliveries(
  tables: Tables,
  namespace: string,
  attempts: readonly FailedAttempt[],
  rescueAfterMs: number,
  of: 'queued' | 'completed' = 'queued',
): Statement {
  const completed = of === 'completed';
  const made = completed ? '= failed.attempt' : 'IN (failed.attempt - 1, failed.attempt)';
  const uncounted = `uncounted AS (
        INSERT INTO ${tables.ledger} (namespace, completed)
        SELECT $1, -count(*) FROM recorded HAVING count(*) > 0
      ), `;
  return {
    text: `WITH recorded AS (
        UPDATE ${tables.deliveries} AS d SET attempts = failed.attempt,
          last_error = failed.error, last_attempt_at = clock_timestamp(), completed_at = NULL,
          status = CASE WHEN failed.dead THEN 'dead' ELSE 'queued' END,
          dead_at = CASE WHEN failed.dead THEN clock_timestamp() END, chunk = NULL,
          retry_at = CASE WHEN NOT failed.dead
            THEN clock_timestamp() + failed.retry_in * interval '1 millisecond' END,
          rescue_at = CASE WHEN NOT failed.dead THEN clock_timestamp()
            + (failed.retry_in + $8::double precision) * interval '1 millisecond' END
        FROM unnest($2::bigint[], $3::text[], $4::integer[], $5::text[], $6::boolean[],
            $7::double precision[], $9::integer[]) WITH ORDINALITY
          AS failed(position, handler, epoch, error, dead, retry_in, attempt, ordinal)
        WHERE d.namespace = $1 AND d.position = ANY($2::bigint[])
          AND d.position = failed.position AND d.handler = failed.handler
          AND d.epoch = failed.epoch AND ${completed ? `d.status = 'completed'` : QUEUED}
          AND d.attempts ${made}
        RETURNING failed.ordinal, d.position, d.handler, d.attempts, d.epoch, d.last_error,
          d.last_attempt_at
      ), ${completed ? uncounted : ''}history AS (
        INSERT INTO ${tables.attempts} (namespace, position, handler, attempt, epoch, error, failed_at)
        SELECT $1, position, handler, attempts, epoch, last_error, last_attempt_at FROM recorded
        ON CONFLICT DO NOTHING
      )
      SELECT ordinal::text AS ordinal FROM recorded`,
    values: [
      ...keys(namespace, attempts),
      attempts.map(({ error }) => error),
      attempts.map(({ dead }) => dead),
      attempts.map(({ retryInMs }) => retryInMs),
      rescueAfterMs,
      attempts.map(({ attempt }) => attempt),
    ],
  };
}

/** Sets the time of rescue of deliveries that are queued in the expected epoch: one for all of them. */
export function setRescueTime(
  tables: Tables,
  namespace: string,
  refs: readonly DeliveryRef[],
  afterMs: number,
): Statement {
  return {
    text: `UPDATE ${tables.deliveries} AS d
      SET rescue_at = statement_timestamp() + $5::double precision * interval '1 millisecond'
      FROM unnest($2::bigint[], $3::text[], $4::integer[]) AS late(position, handler, epoch)
      WHERE d.namespace = $1 AND d.position = ANY($2::bigint[])
        AND d.position = late.position AND d.handler = late.handler
        AND d.epoch = late.epoch AND ${QUEUED}`,
    values: [...keys(namespace, refs), afterMs],
  };
}

/**
 * Moves deliveries that are queued in the expected epoch to other chunks; not those that another
 * transaction has locked: a transactional handler may hold one for minutes.
 */
export function setChunks(
  tables: Tables,
  namespace: string,
  refs: readonly ChunkedRef[],
): Statement {
  return {
    text: `WITH free AS MATERIALIZED (
        SELECT moved.* FROM unnest($2::bigint[], $3::text[], $4::integer[], $5::bigint[])
            WITH ORDINALITY AS moved(position, handler, epoch, chunk, ordinal)
          JOIN ${tables.deliveries} AS d
            ON d.namespace = $1 AND d.position = ANY($2::bigint[])
              AND d.position = moved.position AND d.handler = moved.handler
              AND d.epoch = moved.epoch AND ${QUEUED}
        FOR UPDATE OF d SKIP LOCKED
      ), moved AS (
        UPDATE ${tables.deliveries} AS d SET chunk = free.chunk FROM free
      WHERE d.namespace = $1 AND d.position = ANY($2::bigint[])
        AND d.position = free.position AND d.handler = free.handler
        RETURNING free.ordinal
      )
      SELECT ordinal::text AS ordinal FROM moved`,
    values: [...keys(namespace, refs), refs.map(({ chunk }) => chunk)],
  };
}
