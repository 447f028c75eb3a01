import { chunkLimits } from '../chunks.js';
import type { RegisteredHandler, RelayLimits } from '../event-store.js';
import { handlersPerName } from '../fan-out.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { QUEUED } from './deliveries.sql.js';
import { eventAt, eventColumns } from './events.sql.js';
import { selectHandlersAsJson } from './handlers.sql.js';
import { countOwed } from './ledger.sql.js';
import type { OutboxSnapshot } from './outbox-floor.js';

/** A relay transaction that hangs must not hold the namespace's lock for long. */
const STATEMENT_TIMEOUT = '30s';
/** Its plans are kept: they must be good for large tables, made on empty ones. */
export const PASS_SETTINGS: readonly Statement[] = [
  `statement_timeout = '${STATEMENT_TIMEOUT}'`,
  'plan_cache_mode = force_generic_plan',
  'enable_seqscan = off',
  'enable_bitmapscan = off',
  'jit = off',
].map((setting) => ({ text: `SET LOCAL ${setting}`, values: [] }));

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
 * For the rest of the transaction, the position after which {@link moveBatch} goes on. Empty: it moves
 * nothing. So a pass is one text, and the server decides within it.
 */
const MOVE_AFTER = 'durable_events.move_after';

/**
 * The lock that makes positions gap-free and visible in order: one relay at a time per namespace,
 * until commit. `last_position` is null: another relay has it, or there is no row. Lets the transaction
 * move events if it has the lock and the terms hold, and forbids it else; tells what OutboxFloor asks for.
 *
 * What is selected beside a lock is evaluated below it, before the row is locked. So `set_config` stands
 * outside of the subquery that locks.
 */
export function lockRelay(tables: Tables, namespace: string, terms?: OutboxSnapshot): Statement {
  const { server = '', position = 0, id = 0 } = terms ?? {};
  return {
    name: 'lock_relay',
    text: `SELECT last_position::text AS last_position, server, id::text AS id, xmin::text AS xmin,
        set_config('${MOVE_AFTER}', CASE WHEN $2 = ''
            OR server = $2 AND last_position >= $3::bigint AND id > $4::text::xid8
          THEN coalesce(last_position::text, '') ELSE '' END, true) AS move_after
      FROM (
        SELECT extract(epoch FROM pg_postmaster_start_time())::text AS server,
          pg_current_xact_id() AS id, pg_snapshot_xmin(pg_current_snapshot()) AS xmin
      ) AS here LEFT JOIN (
        SELECT last_position FROM ${tables.relay} WHERE namespace = $1 FOR UPDATE SKIP LOCKED
      ) AS locked ON true`,
    values: [namespace, server, String(position), String(id)],
  };
}

/** Tells one state of all handlers from others. Not `md5`, which fails on servers in FIPS mode. */
const HANDLERS_VERSION = 'hashtextextended(handlers, 0)::text';

/** The handlers, if they are others than those of that version; the transaction moves nothing then. */
export function readOtherHandlers(tables: Tables, namespace: string, version: string): Statement {
  return {
    text: `SELECT handlers, ${HANDLERS_VERSION} AS version, set_config('${MOVE_AFTER}', '', true) AS move_after
      FROM (SELECT ${selectHandlersAsJson(tables)} AS handlers) AS current
      WHERE ${HANDLERS_VERSION} <> $2`,
    name: 'other_handlers',
    values: [namespace, version],
  };
}

/**
 * Moves due outbox rows to the log and makes their deliveries, if {@link lockRelay} and
 * {@link readOtherHandlers} let it: one statement, so rows cross the wire once. It must come after them
 * as a statement of its own: under READ COMMITTED its snapshot then holds everything the previous relay
 * committed. Rows are removed by where they are:
 * a plan made for few rows would look for many one by one, or through the whole table. They are found as
 * a range of the index of what is due: by the primary key, a plan that was made while all rows were of
 * one namespace would walk through those of another.
 *
 * @param floor the number in the outbox behind which to look
 */
export function moveBatch(
  tables: Tables,
  namespace: string,
  floor: number,
  handlers: readonly RegisteredHandler[],
  limits: RelayLimits,
): Statement {
  const subscriptions = handlers.flatMap((handler) =>
    [...new Set(handler.events)].map((event) => ({ event, handler })),
  );
  const chunks = subscriptions.map(({ handler }) => chunkLimits(handler));
  const perName = handlersPerName(handlers);
  return {
    text: `WITH go AS (
        SELECT nullif(current_setting('${MOVE_AFTER}', true), '')::bigint AS after
      ), due AS (
        (SELECT ctid FROM ${tables.outbox}
          WHERE (SELECT after FROM go) IS NOT NULL
            AND (namespace, seq) > ($1, $3) AND namespace <= $1 AND scheduled_at IS NULL
          ORDER BY namespace, seq LIMIT $2)
        UNION ALL
        (SELECT ctid FROM ${tables.outbox}
          WHERE (SELECT after FROM go) IS NOT NULL
            AND namespace = $1 AND scheduled_at <= statement_timestamp() ORDER BY scheduled_at LIMIT $2)
      ), taken AS (
        DELETE FROM ${tables.outbox} AS box WHERE box.ctid = ANY(ARRAY(SELECT ctid FROM due))
        RETURNING box.*
      ), numbered AS (
        SELECT taken.*, (SELECT after FROM go) + row_number() OVER (ORDER BY seq) AS position FROM taken
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
          CASE WHEN size > 1 THEN after + 1 + (position - after - 1) / size * size END,
          0, subscription.max_attempts, statement_timestamp(),
          now() + $4::double precision * interval '1 millisecond'
        FROM numbered CROSS JOIN go JOIN (
          SELECT event, handler, max_attempts,
            least(chunk_max, (SELECT count(*) FROM numbered) / chunk_share) AS size
          FROM unnest($5::text[], $6::text[], $7::integer[], $10::bigint[], $11::bigint[])
            AS s(event, handler, max_attempts, chunk_max, chunk_share)
        ) AS subscription ON subscription.event = numbered.name
      ), counted AS (${countOwed(tables, 'numbered', '$8', '$9')}
      ), advanced AS (
        UPDATE ${tables.relay} SET last_position = last_position + (SELECT count(*) FROM numbered)
        WHERE namespace = $1 AND EXISTS (SELECT FROM numbered)
      )
      SELECT position::text AS position, ${eventColumns('numbered')},
        CASE WHEN scheduled_at IS NULL THEN seq::text END AS seq
      FROM numbered
      ORDER BY numbered.position`,
    name: 'move_batch',
    values: [
      namespace,
      limits.batchSize,
      floor,
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
