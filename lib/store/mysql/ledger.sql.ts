import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';

/** What the ledger adds up; see the table. */
type Counter = 'delivered' | 'unhandled' | 'completed' | 'discarded';

/** An increment, in the transaction of what it counts. */
export function addToLedger(
  tables: Tables,
  namespace: string,
  counter: 'completed' | 'discarded',
  count: number,
): Statement {
  return {
    text: `INSERT INTO ${tables.ledger} (namespace, ${counter}) VALUES (?, ?)`,
    values: [namespace, count],
  };
}

/**
 * What moved events owe, by the handlers that each name has. Not by the rows of deliveries that were
 * made: they are what it proves.
 */
export function addOwed(
  tables: Tables,
  namespace: string,
  events: readonly { readonly name: string }[],
  perName: ReadonlyMap<string, number>,
): Statement {
  const owed = events.map(({ name }) => perName.get(name) ?? 0);
  return {
    text: `INSERT INTO ${tables.ledger} (namespace, delivered, unhandled) VALUES (?, ?, ?)`,
    values: [
      namespace,
      owed.reduce((sum, handlers) => sum + handlers, 0),
      owed.filter((handlers) => handlers === 0).length,
    ],
  };
}

export interface LedgerRow {
  readonly id: string;
  readonly delivered: string;
  readonly unhandled: string;
  readonly completed: string;
  readonly discarded: string;
}

/** Increments to be added up. Those that another process is adding up are skipped. */
export function lockIncrements(tables: Tables, namespace: string, limit: number): Statement {
  return {
    text: `SELECT id, delivered, unhandled, completed, discarded FROM ${tables.ledger} WHERE namespace = ?
      ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED`,
    values: [namespace, limit],
  };
}

/** Many rows become one. */
export function foldIncrements(
  tables: Tables,
  namespace: string,
  rows: readonly LedgerRow[],
): Statement[] {
  const sum = (counter: Counter) => rows.reduce((total, row) => total + Number(row[counter]), 0);
  return [
    {
      text: `DELETE FROM ${tables.ledger} WHERE id IN (?)`,
      values: [rows.map(({ id }) => Number(id))],
    },
    {
      text: `INSERT INTO ${tables.ledger} (namespace, delivered, unhandled, completed, discarded)
        VALUES (?, ?, ?, ?, ?)`,
      values: [namespace, sum('delivered'), sum('unhandled'), sum('completed'), sum('discarded')],
    },
  ];
}
