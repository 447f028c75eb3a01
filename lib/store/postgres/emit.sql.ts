import type { OutboxRecord } from '../event-store.js';
import type { KeyClaim } from '../append-records.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';

/**
 * What one statement takes, in records and in characters of JSON: far below what PostgreSQL can read
 * at once (a quarter of a GB).
 */
const MAX_ROWS = 1_000;
const MAX_CHARACTERS = 8 * 1024 * 1024;

type Type = 'uuid' | 'text' | 'integer' | 'double precision' | 'jsonb' | 'timestamptz';

interface Column {
  readonly name: string;
  readonly type: Type;
  readonly value: (record: OutboxRecord) => string | number | null;
  /** What is stored, by the SQL of the value. Default: the value. */
  readonly store?: (value: string) => string;
  /** What is stored where no record has a value. Default: the column is left out. */
  readonly otherwise?: string;
}

const NOW = 'clock_timestamp()';
/**
 * Gives the transaction its id before the row gets its number, in the column after this one:
 * `OutboxFloor` relies on that.
 */
const NAMESPACE = 'CASE WHEN pg_current_xact_id() IS NOT NULL THEN $1::text END';

const COLUMNS: readonly Column[] = [
  { name: 'event_id', type: 'uuid', value: (record) => record.eventId },
  { name: 'name', type: 'text', value: (record) => record.name },
  { name: 'version', type: 'integer', value: (record) => record.version },
  { name: 'category', type: 'text', value: (record) => record.category },
  { name: 'data', type: 'jsonb', value: (record) => record.data },
  { name: 'metadata', type: 'jsonb', value: (record) => record.metadata },
  { name: 'headers', type: 'jsonb', value: (record) => record.headers },
  { name: 'key', type: 'text', value: (record) => record.key },
  { name: 'entity_type', type: 'text', value: (record) => record.entityType },
  { name: 'entity_id', type: 'text', value: (record) => record.entityId },
  { name: 'entity_version', type: 'integer', value: (record) => record.entityVersion },
  { name: 'actor_type', type: 'text', value: (record) => record.actorType },
  { name: 'actor_id', type: 'text', value: (record) => record.actorId },
  { name: 'causation_id', type: 'text', value: (record) => record.causationId },
  { name: 'correlation_id', type: 'text', value: (record) => record.correlationId },
  {
    name: 'occurred_at',
    type: 'timestamptz',
    value: (record) => record.occurredAt,
    store: (value) => `coalesce(${value}, ${NOW})`,
    otherwise: NOW,
  },
  {
    name: 'scheduled_at',
    type: 'double precision',
    value: (record) => record.delayMs,
    store: (value) => `${NOW} + ${value} * interval '1 millisecond'`,
  },
];

/** Splits records, in their order, into parts that fit into one INSERT each. */
export function splitRecords(records: readonly OutboxRecord[]): readonly OutboxRecord[][] {
  const parts: OutboxRecord[][] = [];
  let characters = 0;
  for (const record of records) {
    const size = record.data.length + (record.metadata?.length ?? 0);
    const part = parts.at(-1);
    if (part === undefined || part.length === MAX_ROWS || characters + size > MAX_CHARACTERS) {
      parts.push([record]);
      characters = size;
    } else {
      part.push(record);
      characters += size;
    }
  }
  return parts;
}

/**
 * Inserts all records, in their order. What no record has is left out, and what all have alike is
 * one parameter. What differs comes as JSON, whose parts are JSON already: for 100 events, a row of
 * parameters each costs the server and this process twice as much.
 */
export function insertIntoOutbox(
  tables: Tables,
  namespace: string,
  records: readonly OutboxRecord[],
): Statement {
  const values: unknown[] = [namespace];
  const names = ['namespace'];
  const cells = [NAMESPACE];
  const varying: Column[] = [];
  for (const column of COLUMNS) {
    const { name, type, value, store = (sql) => sql, otherwise } = column;
    const first = value(records[0] as OutboxRecord);
    let sql: string | undefined;
    if (records.some((record) => value(record) !== first)) {
      sql = store(fromJson(column, varying.push(column) - 1));
    } else if (first === null) {
      sql = otherwise;
    } else {
      sql = store(`$${values.push(first)}::${type}`);
    }
    if (sql === undefined) continue;
    names.push(name);
    cells.push(sql);
  }
  const into = `INSERT INTO ${tables.outbox} (${names.join(', ')})`;
  // For one row, planning a SELECT would take a quarter of the statement's time.
  if (records.length === 1) return { text: `${into} VALUES (${cells.join(', ')})`, values };
  const items = `jsonb_array_elements($${values.push(toJson(varying, records))}::jsonb) AS item`;
  return { text: `${into} SELECT ${cells.join(', ')} FROM ${items}`, values };
}

/** Array of records, each an array of the columns' values. */
function toJson(columns: readonly Column[], records: readonly OutboxRecord[]): string {
  const items = records.map((record) => {
    const cells = columns.map(({ type, value }) => {
      const cell = value(record);
      return type === 'jsonb' && cell !== null ? cell : JSON.stringify(cell);
    });
    return `[${cells.join(',')}]`;
  });
  return `[${items.join(',')}]`;
}

function fromJson({ name, type }: Column, index: number): string {
  if (type === 'text') return `item->>${index}`;
  if (type !== 'jsonb') return `(item->>${index})::${type}`;
  // A null is no metadata, but it may well be the data.
  return name === 'data' ? `item->${index}` : `nullif(item->${index}, 'null')`;
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
