import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { isoUtc } from './sql-text.js';

/**
 * All figures in one statement, hence in one snapshot: they add up. Nothing in it grows with the log:
 * what is done comes from the ledger, what waits from indexes that hold nothing else, up to `limit`
 * rows. They are named: by its statistics a server may rather read the whole table.
 */
export function readFigures(tables: Tables, namespace: string, limit: number): Statement {
  const open = (index: string, time: string) =>
    `(SELECT ${time} FROM ${tables.deliveries} FORCE INDEX (${index})
      WHERE namespace = ? AND ${time} IS NOT NULL ORDER BY ${time} LIMIT ?)`;
  const age = (oldest: string) =>
    `FLOOR(TIMESTAMPDIFF(MICROSECOND, ${oldest}, UTC_TIMESTAMP(6)) / 1000)`;
  const scope = [namespace, limit];
  return {
    text: `SELECT relay.last_position, relay.queue_wipes AS wipes,
        ${isoUtc('relay.queue_wiped_at')} AS wiped_at,
        ledger.delivered, ledger.unhandled, ledger.completed, ledger.discarded, dead.amount AS dead,
        queued.amount AS queued, ${age('queued.oldest')} AS oldest_queued,
        due.amount AS due, ${age('due.oldest')} AS oldest_due, later.amount AS scheduled
      FROM ${tables.relay} AS relay,
        (SELECT COALESCE(SUM(delivered), 0) AS delivered, COALESCE(SUM(completed), 0) AS completed,
            COALESCE(SUM(discarded), 0) AS discarded, COALESCE(SUM(unhandled), 0) AS unhandled
          FROM ${tables.ledger} WHERE namespace = ?) AS ledger,
        (SELECT COUNT(*) AS amount FROM ${open('deliveries_dead', 'dead_since')} AS d) AS dead,
        (SELECT COUNT(*) AS amount, MIN(queued_since) AS oldest
          FROM ${open('deliveries_waiting', 'queued_since')} AS q) AS queued,
        (SELECT COUNT(*) AS amount, MIN(since) AS oldest FROM (
          (SELECT created_at AS since FROM ${tables.outbox}
            WHERE namespace = ? AND scheduled_at IS NULL ORDER BY seq LIMIT ?)
          UNION ALL
          (SELECT scheduled_at FROM ${tables.outbox}
            WHERE namespace = ? AND scheduled_at <= UTC_TIMESTAMP(6)
            ORDER BY scheduled_at LIMIT ?)) AS box) AS due,
        (SELECT COUNT(*) AS amount FROM (SELECT seq FROM ${tables.outbox}
          WHERE namespace = ? AND scheduled_at > UTC_TIMESTAMP(6) LIMIT ?) AS box) AS later
      WHERE relay.namespace = ?`,
    values: [namespace, ...scope, ...scope, ...scope, ...scope, ...scope, namespace],
  };
}
