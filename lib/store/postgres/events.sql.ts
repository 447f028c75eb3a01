import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';

/** ISO 8601 in UTC, whatever the session's time zone or the driver's parsers are. */
export function isoUtc(column: string): string {
  return `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
}

/** The same to the microsecond, as it is stored: a page must begin exactly where one ended. */
export function exactUtc(column: string): string {
  return `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
}

/** Milliseconds since 1970. */
export function epochMs(column: string): string {
  return `(extract(epoch FROM ${column}) * 1000)::bigint`;
}

/**
 * The columns of an event, as text where a driver's parser could change them (an application may
 * have replaced pg's parsers for jsonb, bigint or timestamptz).
 */
export function eventColumns(table: string): string {
  return `${table}.event_id::text AS event_id, ${table}.name, ${table}.version::text AS version,
    ${table}.category, ${table}.data::text AS data, ${table}.metadata::text AS metadata, ${table}.key,
    ${table}.entity_type, ${table}.entity_id, ${table}.entity_version::text AS entity_version,
    ${table}.actor_type, ${table}.actor_id, ${table}.causation_id, ${table}.correlation_id,
    ${isoUtc(`${table}.occurred_at`)} AS occurred_at`;
}

/**
 * A subquery for the event at a position of namespace `$1`. LIMIT makes the planner look it up by the
 * key, whatever its statistics say.
 */
export function eventAt(tables: Tables, position: string): string {
  return `(SELECT * FROM ${tables.log} WHERE namespace = $1 AND position = ${position} LIMIT 1)`;
}

export function readEvents(
  tables: Tables,
  namespace: string,
  positions: readonly number[],
): Statement {
  return {
    text: `SELECT log.position::text AS position, ${eventColumns('log')} FROM (SELECT DISTINCT unnest($2::bigint[]) AS position) AS asked
      CROSS JOIN LATERAL ${eventAt(tables, 'asked.position')} AS log`,
    values: [namespace, positions],
  };
}

const DELIVERIES = (tables: Tables) => `(
  SELECT coalesce(json_agg(json_build_object(
    'handler', d.handler, 'status', d.status, 'attempts', d.attempts, 'maxAttempts', d.max_attempts,
    'lastError', d.last_error, 'queuedAt', ${isoUtc('d.queued_at')},
    'lastAttemptAt', ${isoUtc('d.last_attempt_at')}, 'retryAt', ${isoUtc('d.retry_at')},
    'completedAt', ${isoUtc('d.completed_at')}, 'deadAt', ${isoUtc('d.dead_at')},
    'discardedAt', ${isoUtc('d.discarded_at')}, 'discardReason', d.discard_reason)
    ORDER BY d.handler), '[]')::text
  FROM ${tables.deliveries} AS d
  WHERE d.namespace = log.namespace AND d.position = log.position)`;

/** The newest events about one entity with their deliveries, newest first. */
export function eventsOfEntity(
  tables: Tables,
  namespace: string,
  type: string,
  id: string,
  limit: number,
): Statement {
  return {
    text: `(SELECT log.position::text AS position, ${eventColumns('log')}, ${DELIVERIES(tables)} AS deliveries,
          log.position AS number_in_log, NULL::bigint AS number_in_outbox
        FROM ${tables.log} AS log
        WHERE log.namespace = $1 AND log.entity_type = $2 AND log.entity_id = $3
        ORDER BY log.position DESC LIMIT $4)
      UNION ALL
      (SELECT NULL AS position, ${eventColumns('box')}, '[]' AS deliveries,
          NULL::bigint, box.seq
        FROM ${tables.outbox} AS box
        WHERE box.namespace = $1 AND box.entity_type = $2 AND box.entity_id = $3
        ORDER BY box.seq DESC LIMIT $4)
      ORDER BY number_in_log DESC NULLS FIRST, number_in_outbox DESC LIMIT $4`,
    values: [namespace, type, id, limit],
  };
}

export function eventById(tables: Tables, namespace: string, eventId: string): Statement {
  return {
    text: `SELECT log.position::text AS position, ${eventColumns('log')}, ${DELIVERIES(tables)} AS deliveries
        FROM ${tables.log} AS log WHERE log.namespace = $1 AND log.event_id = $2
      UNION ALL
      SELECT NULL AS position, ${eventColumns('box')}, '[]' AS deliveries
        FROM ${tables.outbox} AS box WHERE box.namespace = $1 AND box.event_id = $2`,
    values: [namespace, eventId],
  };
}
