import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { isoUtc, NOW } from './sql-text.js';

/** All figures in one statement, hence in one snapshot: they add up. */
export function readFigures(tables: Tables, namespace: string, limit: number): Statement {
  const count = (status: string) =>
    `(SELECT count(*) FROM (SELECT 1 FROM ${tables.deliveries}
      WHERE namespace = relay.namespace AND status = '${status}' LIMIT $limit))`;
  const outbox = (columns: string, condition: string) =>
    `SELECT ${columns} FROM ${tables.outbox}
      WHERE namespace = relay.namespace AND ${condition}`;
  const due = `(scheduled_at IS NULL OR scheduled_at <= ${NOW})`;
  const added = (counter: string) => `coalesce(ledger.${counter}, 0) AS ${counter}`;
  return {
    text: `SELECT relay.last_position, relay.queue_wipes AS wipes,
        ${isoUtc('relay.queue_wiped_at')} AS wiped_at,
        ${added('delivered')}, ${added('unhandled')}, ${added('completed')}, ${added('discarded')},
        ${count('dead')} AS dead, ${count('queued')} AS queued,
        ${NOW} - (SELECT min(queued_at) FROM ${tables.deliveries}
          WHERE namespace = relay.namespace AND status = 'queued') AS oldest_queued,
        (SELECT count(*) FROM (${outbox('1', due)} LIMIT $limit)) AS due,
        ${NOW} - (${outbox('min(coalesce(scheduled_at, created_at))', due)}) AS oldest_due,
        (SELECT count(*) FROM (${outbox('1', `scheduled_at > ${NOW}`)} LIMIT $limit)) AS scheduled
      FROM ${tables.relay} AS relay
      LEFT JOIN ${tables.ledger} AS ledger ON ledger.namespace = relay.namespace
      WHERE relay.namespace = $namespace`,
    values: [{ namespace, limit }],
  };
}
