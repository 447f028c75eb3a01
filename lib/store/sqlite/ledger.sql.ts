import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';

interface Increments {
  readonly delivered?: number;
  readonly unhandled?: number;
  readonly completed?: number;
  readonly discarded?: number;
}

/** In the transaction of what it counts. */
export function addToLedger(tables: Tables, namespace: string, counts: Increments): Statement {
  const { delivered = 0, unhandled = 0, completed = 0, discarded = 0 } = counts;
  return {
    text: `INSERT INTO ${tables.ledger} (namespace, delivered, unhandled, completed, discarded)
      VALUES (?, ?, ?, ?, ?)
      ON CONFLICT (namespace) DO UPDATE SET delivered = delivered + excluded.delivered,
        unhandled = unhandled + excluded.unhandled, completed = completed + excluded.completed,
        discarded = discarded + excluded.discarded`,
    values: [namespace, delivered, unhandled, completed, discarded],
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
  return addToLedger(tables, namespace, {
    delivered: owed.reduce((sum, handlers) => sum + handlers, 0),
    unhandled: owed.filter((handlers) => handlers === 0).length,
  });
}
