import { MOVED_BEFORE_SECONDS, type QueuedCursor } from '../queued-page.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { QUEUED } from './deliveries.sql.js';
import { eventAt, eventColumns, exactUtc } from './events.sql.js';

export function readGeneration(tables: Tables, namespace: string): Statement {
  return {
    text: `SELECT queue_generation FROM ${tables.relay} WHERE namespace = $1`,
    values: [namespace],
  };
}

export function changeGeneration(
  tables: Tables,
  namespace: string,
  from: string | undefined,
  to: string,
  wiped: boolean,
): Statement {
  return {
    text: `WITH changed AS (
        UPDATE ${tables.relay} SET queue_generation = $3,
          queue_wipes = queue_wipes + CASE WHEN $4::boolean THEN 1 ELSE 0 END,
          queue_wiped_at = CASE WHEN $4::boolean THEN clock_timestamp() ELSE queue_wiped_at END
        WHERE namespace = $1 AND queue_generation IS NOT DISTINCT FROM $2 RETURNING namespace
      ) SELECT namespace FROM changed`,
    values: [namespace, from ?? null, to, wiped],
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
  const moved = `AND last_attempt_at
            >= $3::timestamptz - interval '${MOVED_BEFORE_SECONDS} seconds'`;
  return {
    text: `WITH page AS (
        SELECT position, handler, epoch, chunk, retry_at, rescue_at
        FROM ${tables.deliveries} AS d
        WHERE namespace = $1 AND ${QUEUED} AND rescue_at IS NOT NULL
          AND queued_at <= coalesce($3::timestamptz, clock_timestamp())
          AND ($4::timestamptz IS NULL OR (rescue_at, position, handler)
            > ($4::timestamptz, $5::bigint, $6::text))
          ${from?.moved === true ? moved : ''}
        ORDER BY rescue_at, position, handler LIMIT $2
      )
      SELECT page.position::text AS position, page.handler, page.epoch::text AS epoch,
        page.chunk::text AS chunk,
        greatest(0, coalesce(extract(epoch FROM page.retry_at - clock_timestamp()), 0) * 1000)
          ::bigint::text AS due_in,
        ${exactUtc('page.rescue_at')} AS rescue_at,
        ${exactUtc('coalesce($3::timestamptz, statement_timestamp())')} AS as_of,
        ${eventColumns('log')}
      FROM page
        LEFT JOIN LATERAL ${eventAt(tables, 'page.position')} AS log ON true
      ORDER BY page.rescue_at, page.position, page.handler`,
    values: [
      namespace,
      limit,
      from?.asOf ?? null,
      from?.after?.rescueAt ?? null,
      from?.after?.position ?? null,
      from?.after?.handler ?? null,
    ],
  };
}
