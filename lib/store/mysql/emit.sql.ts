import type { KeyClaim } from '../append-records.js';
import type { OutboxRecord } from '../event-store.js';
import { PLAIN_COLUMNS } from '../outbox-columns.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { split } from './split.js';
import { bytes, toDatetime } from './sql-text.js';

const NAMES = PLAIN_COLUMNS.map(([name]) => `\`${name}\``).join(', ');
const CELLS = PLAIN_COLUMNS.map(() => '?').join(', ');
const ROW = `(?, ${CELLS}, COALESCE(?, UTC_TIMESTAMP(6)), UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND)`;

/** Splits records into parts that fit into one INSERT each. */
export function splitRecords(records: readonly OutboxRecord[]): readonly OutboxRecord[][] {
  return split(records, (record) => PLAIN_COLUMNS.map(([, value]) => value(record)));
}

/** Inserts all records, in their order. */
export function insertIntoOutbox(
  tables: Tables,
  namespace: string,
  records: readonly OutboxRecord[],
): Statement {
  return {
    text: `INSERT INTO ${tables.outbox} (namespace, ${NAMES}, occurred_at, scheduled_at)
      VALUES ${records.map(() => ROW).join(', ')}`,
    values: records.flatMap((record) => [
      namespace,
      ...PLAIN_COLUMNS.map(([, value]) => value(record)),
      record.occurredAt === null ? null : toDatetime(record.occurredAt),
      record.delayMs === null ? null : Math.round(record.delayMs * 1_000),
    ]),
  };
}

/** Splits claims, in their order, into parts that fit into one INSERT each. */
export function splitClaims(claims: readonly KeyClaim[]): readonly KeyClaim[][] {
  return split(claims, ({ key, eventId }) => [key, eventId]);
}

/**
 * Claims those idempotency keys that are free. A key that another open transaction has just claimed
 * makes this wait for that transaction's end. Not INSERT IGNORE, which ignores other errors too.
 */
export function claimKeys(
  tables: Tables,
  namespace: string,
  claims: readonly KeyClaim[],
): Statement {
  return {
    text: `INSERT INTO ${tables.idempotency} (namespace, \`key\`, event_id, created_at)
      VALUES ${claims.map(() => '(?, ?, ?, UTC_TIMESTAMP(6))').join(', ')}
      ON DUPLICATE KEY UPDATE namespace = VALUES(namespace)`,
    values: claims.flatMap(({ key, eventId }) => [namespace, key, eventId]),
  };
}

/** The events that own the keys: a locking read, because the transaction's view may be older. */
export function readKeys(tables: Tables, namespace: string, keys: readonly string[]): Statement {
  return {
    text: `SELECT ${bytes('`key`')} AS \`key\`, event_id FROM ${tables.idempotency}
      WHERE namespace = ? AND \`key\` IN (?) LOCK IN SHARE MODE`,
    values: [namespace, keys],
  };
}
