import { parseBatchCursor, type BatchCursorRow } from '../batch-cursor.js';
import type { BatchRange, DeadLetterCriteria } from '../dead-letter-store.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { DELIVERY_AND_EVENT, HAS_EVENT, where } from './dead-letters.sql.js';
import { epochMs, exactUtc } from './events.sql.js';
import { count } from './ledger.sql.js';

/** What a change returns: one row. */
export type ChangeRow = { readonly affected: string; readonly picked: string } & (
  BatchCursorRow | { readonly since: null }
);

/**
 * The handlers that are not retired, as JSON text for `subscribers`. All rows stay locked until the
 * batch has ended: none is retired or comes back meanwhile.
 */
export function holdHandlers(tables: Tables, namespace: string): Statement {
  return {
    text: `SELECT coalesce(json_agg(json_build_object('id', h.id, 'events', h.events,
        'queue', h.queue, 'options', h.options, 'lastSeen', ${epochMs('h.last_seen_at')}))
        FILTER (WHERE h.retired_at IS NULL), '[]')::text
        AS handlers
      FROM (SELECT id, events, queue, options, last_seen_at, retired_at FROM ${tables.handlers}
        WHERE namespace = $1 ORDER BY id FOR SHARE) AS h`,
    values: [namespace],
  };
}

/** Only what comes after the batch before; the first part is for the index. */
function after(range: BatchRange, time: string, values: unknown[]): string {
  const cursor = parseBatchCursor(range);
  if (cursor === undefined) return '';
  const [since, position, handler] = [cursor.since, cursor.position, cursor.handler].map(
    (value) => `$${values.push(value)}`,
  );
  return `AND ${time} >= ${since}::timestamptz AND (${time}, d.position, d.handler)
    > (${since}::timestamptz, ${position}::bigint, ${handler}::text)`;
}

/**
 * Dead letters of before the operation ($2), a batch of them, locked. Newer ones may be the same
 * ones, dead again: an operation would never end. Those that another operation is changing are waited
 * for: passed over, they might be left behind. The order is complete, or two would deadlock.
 */
function pick(tables: Tables, condition: string): string {
  return `SELECT d.position, d.handler, d.dead_at AS since FROM ${DELIVERY_AND_EVENT(tables)}
    WHERE ${condition}
      AND d.dead_at <= (SELECT started_at FROM ${tables.operations} WHERE id = $2::bigint)
    ORDER BY d.dead_at, d.position, d.handler LIMIT $3 FOR UPDATE OF d`;
}

/** Changes what is `picked`, adds it to the operation ($2), and tells where the batch ends. */
function change(tables: Tables, picked: string, changed: string, more = ''): string {
  return `WITH picked AS (${picked}), changed AS (${changed} RETURNING d.position)${more},
    recorded AS (
      UPDATE ${tables.operations} SET affected = affected + (SELECT count(*) FROM changed)
      WHERE id = $2::bigint
    )
    SELECT (SELECT count(*)::text FROM changed) AS affected,
      (SELECT count(*)::text FROM picked) AS picked, ${exactUtc('last.since')} AS since,
      last.position::text AS position, last.handler
    FROM (SELECT) AS always LEFT JOIN (SELECT since, position, handler FROM picked
      ORDER BY since DESC, position DESC, handler DESC LIMIT 1) AS last ON true`;
}

const PICKED = `d.namespace = $1 AND d.position = picked.position AND d.handler = picked.handler`;

/** @param targets handler id or alias → attempts */
export function redriveDeadLetters(
  tables: Tables,
  namespace: string,
  operationId: number,
  criteria: DeadLetterCriteria,
  targets: ReadonlyMap<string, number>,
  range: BatchRange,
): Statement {
  const handlers = [...targets.keys()];
  const values = [namespace, operationId, range.limit, handlers, [...targets.values()]];
  const condition = `${where(criteria, values)} AND ${HAS_EVENT} AND d.handler = ANY($4::text[])
    ${after(range, 'd.dead_at', values)}`;
  const changed = `UPDATE ${tables.deliveries} AS d SET status = 'queued', epoch = d.epoch + 1, chunk = NULL,
      max_attempts = d.attempts + target.attempts, queued_at = clock_timestamp(),
      rescue_at = clock_timestamp(), retry_at = NULL, dead_at = NULL
    FROM picked JOIN unnest($4::text[], $5::integer[]) AS target(handler, attempts)
      ON target.handler = picked.handler WHERE ${PICKED}`;
  return { text: change(tables, pick(tables, condition), changed), values };
}

export function discardDeadLetters(
  tables: Tables,
  namespace: string,
  operationId: number,
  criteria: DeadLetterCriteria,
  reason: string,
  range: BatchRange,
): Statement {
  const values: unknown[] = [namespace, operationId, range.limit, reason];
  const condition = `${where(criteria, values)} ${after(range, 'd.dead_at', values)}`;
  const changed = `UPDATE ${tables.deliveries} AS d SET status = 'discarded',
      discarded_at = clock_timestamp(), discard_reason = $4 FROM picked WHERE ${PICKED}`;
  const counted = `, counted AS (${count(tables, 'discarded', 'changed')})`;
  return { text: change(tables, pick(tables, condition), changed, counted), values };
}

/**
 * What waits for retired handlers becomes dead. It waits for no lock: completions have theirs in
 * another order, and a handler may hold its delivery for minutes.
 */
export function buryWaiting(
  tables: Tables,
  namespace: string,
  operationId: number,
  handlers: readonly string[],
  error: string,
  range: BatchRange,
): Statement {
  const values: unknown[] = [namespace, operationId, range.limit, handlers, error];
  const picked = `SELECT d.position, d.handler, d.queued_at AS since FROM ${tables.deliveries} AS d
    WHERE d.namespace = $1 AND d.status = 'queued' AND d.handler = ANY($4::text[])
      ${after(range, 'd.queued_at', values)}
    ORDER BY d.queued_at, d.position, d.handler LIMIT $3 FOR UPDATE SKIP LOCKED`;
  const changed = `UPDATE ${tables.deliveries} AS d SET status = 'dead', dead_at = clock_timestamp(),
      last_error = $5, rescue_at = NULL, retry_at = NULL FROM picked WHERE ${PICKED}`;
  return { text: change(tables, picked, changed), values };
}

export function anyWaiting(
  tables: Tables,
  namespace: string,
  handlers: readonly string[],
): Statement {
  return {
    text: `SELECT position FROM ${tables.deliveries}
      WHERE namespace = $1 AND status = 'queued' AND handler = ANY($2::text[])
      ORDER BY queued_at LIMIT 1`,
    values: [namespace, handlers],
  };
}
