import type { OutboxRecord } from '../event-store.js';
import type { KeyClaim } from '../append-records.js';
import { PLAIN_COLUMNS } from '../outbox-columns.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';

/** Parameters a statement may have (PostgreSQL's protocol counts them in 16 bits). */
const MAX_PARAMETERS = 65_535;

type Column = readonly [name: string, value: (record: OutboxRecord) => unknown, sql?: string];

const COLUMNS: readonly Column[] = [
  ...PLAIN_COLUMNS,
  ['occurred_at', (record) => record.occurredAt, 'coalesce(?::timestamptz, clock_timestamp())'],
  [
    'scheduled_at',
    (record) => record.delayMs,
    `clock_timestamp() + ?::double precision * interval '1 millisecond'`,
  ],
];

/** Rows that fit into one INSERT. */
export const MAX_ROWS = Math.floor((MAX_PARAMETERS - 1) / COLUMNS.length);

/** Inserts all records, in their order. */
export function insertIntoOutbox(
  tables: Tables,
  namespace: string,
  records: readonly OutboxRecord[],
): Statement {
  const values: unknown[] = [namespace];
  const rows = records.map((record) => {
    const cells = COLUMNS.map(([, value, sql = '?']) => {
      values.push(value(record));
      return sql.replace('?', `$${values.length}`);
    });
    return `($1, ${cells.join(', ')})`;
  });
  const names = COLUMNS.map(([name]) => name).join(', ');
  return {
    text: `INSERT INTO ${tables.outbox} (namespace, ${names}) VALUES ${rows.join(', ')}`,
    values,
  };
}

/**
 * Claims idempotency keys; returns those that were free. A key that another open transaction has
 * just claimed makes this wait for that transaction's end.
 */
export function claimKeys(
  tables: Tables,
  namespace: string,
  claims: readonly KeyClaim[],
): Statement {
  return {
    text: `INSERT INTO ${tables.idempotency} (namespace, key, event_id, created_at)
      SELECT $1, key, event_id, clock_timestamp()
      FROM unnest($2::text[], $3::uuid[]) AS claim(key, event_id)
      ON CONFLICT (namespace, key) DO NOTHING
      RETURNING key`,
    values: [namespace, claims.map(({ key }) => key), claims.map(({ eventId }) => eventId)],
  };
}

/** The events that own the keys. */
export function readKeys(tables: Tables, namespace: string, keys: readonly string[]): Statement {
  return {
    text: `SELECT key, event_id::text AS event_id FROM ${tables.idempotency}
      WHERE namespace = $1 AND key = ANY($2::text[])`,
    values: [namespace, keys],
  };
}
