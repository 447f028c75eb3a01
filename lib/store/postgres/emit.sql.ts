import type { OutboxRecord } from '../event-store.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';

/** Parameters a statement may have (PostgreSQL's protocol counts them in 16 bits). */
const MAX_PARAMETERS = 65_535;

type Column = readonly [name: string, value: (record: OutboxRecord) => unknown, sql?: string];

const COLUMNS: readonly Column[] = [
  ['event_id', (record) => record.eventId],
  ['name', (record) => record.name],
  ['version', (record) => record.version],
  ['category', (record) => record.category],
  ['data', (record) => record.data],
  ['metadata', (record) => record.metadata],
  ['headers', (record) => record.headers],
  ['key', (record) => record.key],
  ['entity_type', (record) => record.entityType],
  ['entity_id', (record) => record.entityId],
  ['entity_version', (record) => record.entityVersion],
  ['actor_type', (record) => record.actorType],
  ['actor_id', (record) => record.actorId],
  ['causation_id', (record) => record.causationId],
  ['correlation_id', (record) => record.correlationId],
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
  claims: readonly { key: string; eventId: string }[],
): Statement {
  // Sorted: two transactions that claim the same keys must not deadlock.
  const sorted = claims.toSorted((a, b) => (a.key < b.key ? -1 : 1));
  return {
    text: `INSERT INTO ${tables.idempotency} (namespace, key, event_id, created_at)
      SELECT $1, key, event_id, clock_timestamp()
      FROM unnest($2::text[], $3::uuid[]) AS claim(key, event_id)
      ON CONFLICT (namespace, key) DO NOTHING
      RETURNING key`,
    values: [namespace, sorted.map(({ key }) => key), sorted.map(({ eventId }) => eventId)],
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
