import type { KeyClaim } from '../append-records.js';
import type { OutboxRecord } from '../event-store.js';
import { PLAIN_COLUMNS } from '../outbox-columns.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { NOW, toTime } from './sql-text.js';

const NAMES = PLAIN_COLUMNS.map(([name]) => `"${name}"`).join(', ');
const CELLS = PLAIN_COLUMNS.map(() => '?').join(', ');

export function insertIntoOutbox(
  tables: Tables,
  namespace: string,
  record: OutboxRecord,
): Statement {
  return {
    text: `INSERT INTO ${tables.outbox} (namespace, ${NAMES}, occurred_at, created_at, scheduled_at)
      VALUES (?, ${CELLS}, coalesce(?, ${NOW}), ${NOW}, ${NOW} + ?)`,
    values: [
      namespace,
      ...PLAIN_COLUMNS.map(([, value]) => value(record)),
      record.occurredAt === null ? null : toTime(record.occurredAt),
      record.delayMs === null ? null : Math.round(record.delayMs),
    ],
  };
}

/** Claims an idempotency key, if it is free; returns the event that owns it. */
export function claimKey(tables: Tables, namespace: string, { key, eventId }: KeyClaim): Statement {
  return {
    // DO NOTHING would return nothing.
    text: `INSERT INTO ${tables.idempotency} (namespace, "key", event_id, created_at)
      VALUES (?, ?, ?, ${NOW})
      ON CONFLICT (namespace, "key") DO UPDATE SET event_id = event_id RETURNING event_id`,
    values: [namespace, key, eventId],
  };
}
