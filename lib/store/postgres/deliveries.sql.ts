import type { DeliveryRef, FailedAttempt } from '../event-store.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';

function keys(namespace: string, refs: readonly DeliveryRef[]): unknown[] {
  return [
    namespace,
    refs.map(({ position }) => position),
    refs.map(({ handler }) => handler),
    refs.map(({ epoch }) => epoch),
  ];
}

/** States in the order asked (`ordinal` counts from 1); deliveries that don't exist are left out. */
export function readStates(
  tables: Tables,
  namespace: string,
  refs: readonly DeliveryRef[],
): Statement {
  return {
    text: `SELECT asked.ordinal::text AS ordinal, d.status, d.epoch::text AS epoch,
        d.attempts::text AS attempts, d.max_attempts::text AS max_attempts,
        log.event_id::text AS event_id
      FROM unnest($2::bigint[], $3::text[]) WITH ORDINALITY AS asked(position, handler, ordinal)
      JOIN ${tables.deliveries} AS d
        ON d.namespace = $1 AND d.position = asked.position AND d.handler = asked.handler
      JOIN ${tables.log} AS log ON log.namespace = $1 AND log.position = asked.position`,
    values: keys(namespace, refs).slice(0, 3),
  };
}

/** Completes deliveries that are queued in the expected epoch; returns the ordinals of those. */
export function completeDeliveries(
  tables: Tables,
  namespace: string,
  refs: readonly DeliveryRef[],
): Statement {
  return {
    text: `UPDATE ${tables.deliveries} AS d SET status = 'completed', attempts = d.attempts + 1,
        last_attempt_at = clock_timestamp(), completed_at = clock_timestamp(), rescue_at = NULL
      FROM unnest($2::bigint[], $3::text[], $4::integer[]) WITH ORDINALITY
        AS done(position, handler, epoch, ordinal)
      WHERE d.namespace = $1 AND d.position = done.position AND d.handler = done.handler
        AND d.epoch = done.epoch AND d.status = 'queued'
      RETURNING done.ordinal::text AS ordinal`,
    values: keys(namespace, refs),
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
): Statement {
  return {
    text: `UPDATE ${tables.deliveries} AS d SET attempts = failed.attempt,
        last_error = failed.error, last_attempt_at = clock_timestamp(),
        status = CASE WHEN failed.dead THEN 'dead' ELSE 'queued' END,
        dead_at = CASE WHEN failed.dead THEN clock_timestamp() END,
        rescue_at = CASE WHEN failed.dead THEN NULL
          ELSE clock_timestamp() + (failed.retry_in + $8::double precision) * interval '1 millisecond' END
      FROM unnest($2::bigint[], $3::text[], $4::integer[], $5::text[], $6::boolean[],
          $7::double precision[], $9::integer[]) WITH ORDINALITY
        AS failed(position, handler, epoch, error, dead, retry_in, attempt, ordinal)
      WHERE d.namespace = $1 AND d.position = failed.position AND d.handler = failed.handler
        AND d.epoch = failed.epoch AND d.status = 'queued'
        AND d.attempts IN (failed.attempt - 1, failed.attempt)
      RETURNING failed.ordinal::text AS ordinal`,
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

/** Sets the time of rescue of deliveries that are queued in the expected epoch. */
export function setRescueTime(
  tables: Tables,
  namespace: string,
  refs: readonly DeliveryRef[],
  afterMs: number,
): Statement {
  return {
    text: `UPDATE ${tables.deliveries} AS d
      SET rescue_at = clock_timestamp() + $5::double precision * interval '1 millisecond'
      FROM unnest($2::bigint[], $3::text[], $4::integer[]) AS late(position, handler, epoch)
      WHERE d.namespace = $1 AND d.position = late.position AND d.handler = late.handler
        AND d.epoch = late.epoch AND d.status = 'queued'`,
    values: [...keys(namespace, refs), afterMs],
  };
}
