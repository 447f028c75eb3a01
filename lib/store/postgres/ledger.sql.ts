import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';

/**
 * Part of a larger statement: an increment by the number of rows in one of its CTEs, none for no
 * row. Needs `$1 = namespace`.
 */
export function count(tables: Tables, counter: 'completed' | 'discarded', rows: string): string {
  return `INSERT INTO ${tables.ledger} (namespace, ${counter})
    SELECT $1, count(*) FROM ${rows} HAVING count(*) > 0`;
}

/**
 * Part of a larger statement: what the events of a CTE owe, by the number of handlers that each name
 * has (two array parameters). Not by the rows of deliveries that were made: they are what it proves.
 */
export function countOwed(tables: Tables, events: string, names: string, handlers: string): string {
  return `INSERT INTO ${tables.ledger} (namespace, delivered, unhandled)
    SELECT $1, coalesce(sum(known.handlers), 0), count(*) FILTER (WHERE known.handlers IS NULL)
    FROM ${events} LEFT JOIN unnest(${names}::text[], ${handlers}::integer[])
      AS known(name, handlers) ON known.name = ${events}.name
    HAVING count(*) > 0`;
}

/** Adds up increments: many rows become one. Those that another process is adding up are skipped. */
export function foldLedger(tables: Tables, namespace: string, limit: number): Statement {
  return {
    text: `WITH taken AS (
        SELECT id FROM ${tables.ledger} WHERE namespace = $1 ORDER BY id LIMIT $2
        FOR UPDATE SKIP LOCKED
      ), gone AS (
        DELETE FROM ${tables.ledger} AS ledger USING taken WHERE ledger.id = taken.id
        RETURNING ledger.delivered, ledger.unhandled, ledger.completed, ledger.discarded
      )
      INSERT INTO ${tables.ledger} (namespace, delivered, unhandled, completed, discarded)
      SELECT $1, sum(delivered), sum(unhandled), sum(completed), sum(discarded) FROM gone
      HAVING count(*) > 0`,
    values: [namespace, limit],
  };
}
