import { chunkLimits } from '../chunks.js';
import type { RegisteredHandler, RelayLimits } from '../event-store.js';
import { handlersPerName } from '../fan-out.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { QUEUED } from './deliveries.sql.js';
import { eventAt, eventColumns } from './events.sql.js';
import { countOwed } from './ledger.sql.js';

/** A relay transaction that hangs must not hold the namespace's lock for long. */
const STATEMENT_TIMEOUT = '30s';
/** Ends the session of a relay process that was stopped in the middle of its transaction (C9). */
const IDLE_TIMEOUT = '10s';

/**
 * Whether anything is due; reads at most one row of each index. (`statement_timestamp`, because what
 * changes within a statement is no bound for an index.)
 */
export function hasDue(tables: Tables, namespace: string): Statement {
  return {
    text: `SELECT EXISTS (SELECT FROM ${tables.outbox} WHERE namespace = $1 AND scheduled_at IS NULL)
      OR EXISTS (SELECT FROM ${tables.outbox} WHERE namespace = $1 AND scheduled_at <= statement_timestamp())
      AS due`,
    values: [namespace],
  };
}

/**
 * Makes the namespace's row if there is none. Where somebody deleted it, positions go on after those
 * in the log.
 */
export function ensureRelayRow(tables: Tables, namespace: string, identity: string): Statement {
  return {
    text: `INSERT INTO ${tables.relay} (namespace, identity, last_position)
      SELECT $1, $2, coalesce(max(position), 0) FROM ${tables.log} WHERE namespace = $1
      ON CONFLICT (namespace) DO NOTHING`,
    values: [namespace, identity],
  };
}

export function readIdentity(tables: Tables, namespace: string): Statement {
  return {
    text: `SELECT identity FROM ${tables.relay} WHERE namespace = $1`,
    values: [namespace],
  };
}

/**
 * The lock that makes positions gap-free and visible in order: one relay at a time per namespace,
 * until commit. No row: another relay has it. Also limits the transaction.
 */
export function lockRelay(tables: Tables, namespace: string): Statement {
  return {
    text: `SELECT last_position::text AS last_position,
        set_config('statement_timeout', $2, true) AS statement_timeout,
        set_config('idle_in_transaction_session_timeout', $3, true) AS idle_timeout
      FROM ${tables.relay} AS relay WHERE namespace = $1 FOR UPDATE SKIP LOCKED`,
    values: [namespace, STATEMENT_TIMEOUT, IDLE_TIMEOUT],
  };
}

/**
 * Moves due outbox rows to the log and makes their deliveries: one statement, so rows cross the
 * wire once. It must come after {@link lockRelay} as a statement of its own: under READ COMMITTED
 * its snapshot then holds everything the previous relay committed.
 */
export function moveBatch(
  tables: Tables,
  namespace: string,
  lastPosition: string,
  handlers: readonly RegisteredHandler[],
  limits: RelayLimits,
): Statement {
  const subscriptions = handlers.flatMap((handler) =>
    [...new Set(handler.events)].map((event) => ({ event, handler })),
  );
  const chunks = subscriptions.map(({ handler }) => chunkLimits(handler));
  const perName = handlersPerName(handlers);
  return {
    text: `WITH due AS (
        (SELECT seq FROM ${tables.outbox}
          WHERE namespace = $1 AND scheduled_at IS NULL ORDER BY seq LIMIT $2)
        UNION ALL
        (SELECT seq FROM ${tables.outbox}
          WHERE namespace = $1 AND scheduled_at <= statement_timestamp() ORDER BY scheduled_at LIMIT $2)
      ), taken AS (
        DELETE FROM ${tables.outbox} AS box USING due WHERE box.seq = due.seq RETURNING box.*
      ), numbered AS (
        SELECT taken.*, $3::bigint + row_number() OVER (ORDER BY seq) AS position FROM taken
      ), logged AS (
        INSERT INTO ${tables.log} (position, namespace, event_id, name, version, category, data,
          metadata, headers, key, entity_type, entity_id, entity_version, actor_type, actor_id,
          causation_id, correlation_id, occurred_at, relayed_at)
        SELECT position, namespace, event_id, name, version, category, data,
          metadata, headers, key, entity_type, entity_id, entity_version, actor_type, actor_id,
          causation_id, correlation_id, occurred_at, clock_timestamp() FROM numbered
      ), delivered AS (
        INSERT INTO ${tables.deliveries} (namespace, position, handler, status, epoch, chunk, attempts,
          max_attempts, queued_at, rescue_at)
        SELECT namespace, position, subscription.handler, 'queued', 0,
          CASE WHEN size > 1 THEN $3::bigint + 1 + (position - $3::bigint - 1) / size * size END,
          0, subscription.max_attempts, statement_timestamp(),
          now() + $4::double precision * interval '1 millisecond'
        FROM numbered JOIN (
          SELECT event, handler, max_attempts,
            least(chunk_max, (SELECT count(*) FROM numbered) / chunk_share) AS size
          FROM unnest($5::text[], $6::text[], $7::integer[], $10::bigint[], $11::bigint[])
            AS s(event, handler, max_attempts, chunk_max, chunk_share)
        ) AS subscription ON subscription.event = numbered.name
      ), counted AS (${countOwed(tables, 'numbered', '$8', '$9')}
      ), advanced AS (
        UPDATE ${tables.relay} SET last_position = $3::bigint + (SELECT count(*) FROM numbered)
        WHERE namespace = $1 AND EXISTS (SELECT FROM numbered)
      )
      SELECT position::text AS position, ${eventColumns('numbered')} FROM numbered
      ORDER BY numbered.position`,
    values: [
      namespace,
      limits.batchSize,
      lastPosition,
      limits.rescueAfterMs,
      subscriptions.map(({ event }) => event),
      subscriptions.map(({ handler }) => handler.id),
      subscriptions.map(({ handler }) => handler.maxAttempts),
      [...perName.keys()],
      [...perName.values()],
      chunks.map(({ max }) => max),
      chunks.map(({ share }) => share),
    ],
  };
}

/**
 * Queued deliveries that should be done by now, postponed in the same statement: by as long as
 * they have waited already, so that a long healthy backlog is looked at ever more seldom (at most
 * an hour). Times are the statement's, so that deliveries of a chunk, queued by one pass, stay
 * together in this order. Rows that another rescue has in its hands are skipped. Those that the log has lost come
 * without an event.
 */
export function takeOverdue(
  tables: Tables,
  namespace: string,
  limits: { batchSize: number; rescueAfterMs: number },
): Statement {
  return {
    text: `WITH overdue AS (
        SELECT position, handler, rescue_at FROM ${tables.deliveries} AS d
        WHERE namespace = $1 AND ${QUEUED} AND rescue_at <= statement_timestamp()
        ORDER BY rescue_at, position, handler LIMIT $2 FOR UPDATE SKIP LOCKED
      ), taken AS (
        UPDATE ${tables.deliveries} AS d SET rescue_at = statement_timestamp() + least(
          greatest($3::double precision * interval '1 millisecond', statement_timestamp() - d.queued_at),
          interval '1 hour')
        FROM overdue
        WHERE d.namespace = $1 AND d.position = overdue.position AND d.handler = overdue.handler
        RETURNING d.position, d.handler, d.epoch, d.chunk, overdue.rescue_at AS was
      )
      SELECT taken.position::text AS position, taken.handler, taken.epoch::text AS epoch,
        taken.chunk::text AS chunk,
        ${eventColumns('log')}
      FROM taken
        LEFT JOIN LATERAL ${eventAt(tables, 'taken.position')} AS log ON true
      ORDER BY taken.was, taken.position, taken.handler`,
    values: [namespace, limits.batchSize, limits.rescueAfterMs],
  };
}
