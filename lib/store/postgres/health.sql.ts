import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { isoUtc } from './events.sql.js';

/**
 * For the transaction of {@link readFigures}: each part of it is in the order of an index, and with no
 * sort at hand only that index is left. By statistics of a quieter or a busier time the whole table
 * would be read: 1.5 s with 150,000 queued of a million.
 */
export function sortNothing(): Statement {
  return { text: `SELECT set_config('enable_sort', 'off', true)`, values: [] };
}

/**
 * All figures in one statement, hence in one snapshot: they add up. Nothing in it grows with the log:
 * what is done comes from the ledger, what waits from partial indexes, up to `limit` rows.
 */
export function readFigures(tables: Tables, namespace: string, limit: number): Statement {
  const count = (status: string, time: string) =>
    `(SELECT count(*)::text FROM (SELECT FROM ${tables.deliveries}
      WHERE namespace = $1 AND status = '${status}' ORDER BY ${time} LIMIT $2) AS ${status})`;
  const age = (oldest: string) =>
    `(extract(epoch FROM clock_timestamp() - ${oldest}) * 1000)::bigint::text`;
  return {
    text: `SELECT relay.last_position::text AS last_position, relay.queue_wipes::text AS wipes,
        ${isoUtc('relay.queue_wiped_at')} AS wiped_at,
        ledger.delivered::text AS delivered, ledger.completed::text AS completed,
        ledger.discarded::text AS discarded, ledger.unhandled::text AS unhandled,
        ${count('dead', 'dead_at')} AS dead, ${count('queued', 'queued_at')} AS queued,
        (SELECT ${age('queued_at')} FROM ${tables.deliveries}
          WHERE namespace = $1 AND status = 'queued' ORDER BY queued_at LIMIT 1) AS oldest_queued,
        due.rows::text AS due, ${age('due.oldest')} AS oldest_due,
        (SELECT count(*)::text FROM (SELECT FROM ${tables.outbox} WHERE namespace = $1
          AND scheduled_at > clock_timestamp() ORDER BY scheduled_at LIMIT $2) AS later) AS scheduled
      FROM ${tables.relay} AS relay,
        (SELECT coalesce(sum(delivered), 0)::bigint AS delivered,
            coalesce(sum(completed), 0)::bigint AS completed,
            coalesce(sum(discarded), 0)::bigint AS discarded,
            coalesce(sum(unhandled), 0)::bigint AS unhandled
          FROM ${tables.ledger} WHERE namespace = $1) AS ledger,
        (SELECT count(*) AS rows, min(since) AS oldest FROM (
          (SELECT created_at AS since FROM ${tables.outbox}
            WHERE namespace = $1 AND scheduled_at IS NULL ORDER BY seq LIMIT $2)
          UNION ALL
          (SELECT scheduled_at FROM ${tables.outbox}
            WHERE namespace = $1 AND scheduled_at <= statement_timestamp()
            ORDER BY scheduled_at LIMIT $2)) AS waiting) AS due
      WHERE relay.namespace = $1`,
    values: [namespace, limit],
  };
}
