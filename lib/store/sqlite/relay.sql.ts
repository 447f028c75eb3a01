import type { RegisteredHandler } from '../event-store.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { eventColumns } from './events.sql.js';
import { NOW } from './sql-text.js';

/** Whether anything is due; reads at most one row of each kind. */
export function hasDue(tables: Tables, namespace: string): Statement {
  return {
    text: `SELECT EXISTS (SELECT 1 FROM ${tables.outbox} WHERE namespace = ? AND scheduled_at IS NULL)
      OR EXISTS (SELECT 1 FROM ${tables.outbox} WHERE namespace = ? AND scheduled_at <= ${NOW}) AS due`,
    values: [namespace, namespace],
  };
}

/**
 * Makes the namespace's row if there is none. Where somebody deleted it, positions go on after those
 * in the log.
 */
export function ensureRelayRow(tables: Tables, namespace: string, identity: string): Statement {
  return {
    text: `INSERT INTO ${tables.relay} (namespace, identity, last_position)
      SELECT ?, ?, coalesce(max(position), 0) FROM ${tables.log} WHERE namespace = ?
      ON CONFLICT (namespace) DO NOTHING`,
    values: [namespace, identity, namespace],
  };
}

export function readRelayRow(tables: Tables, namespace: string): Statement {
  return {
    text: `SELECT identity, last_position, queue_generation FROM ${tables.relay} WHERE namespace = ?`,
    values: [namespace],
  };
}

/** Due events in the order of their emits; of those with and those without a delay a batch each. */
export function readDue(tables: Tables, namespace: string, batchSize: number): Statement {
  return {
    text: `SELECT box.seq, NULL AS position, ${eventColumns('box')} FROM (
        SELECT * FROM (SELECT seq FROM ${tables.outbox}
          WHERE namespace = ? AND scheduled_at IS NULL ORDER BY seq LIMIT ?)
        UNION ALL
        SELECT * FROM (SELECT seq FROM ${tables.outbox}
          WHERE namespace = ? AND scheduled_at <= ${NOW} ORDER BY scheduled_at LIMIT ?)
      ) AS due JOIN ${tables.outbox} AS box ON box.seq = due.seq ORDER BY box.seq`,
    values: [namespace, batchSize, namespace, batchSize],
  };
}

const COPIED = `namespace, event_id, name, version, category, data, metadata, headers, "key",
        entity_type, entity_id, entity_version, actor_type, actor_id, causation_id, correlation_id,
        occurred_at`;

export function copyToLog(tables: Tables, seq: number, position: number): Statement {
  return {
    text: `INSERT INTO ${tables.log} (position, ${COPIED}, relayed_at)
      SELECT ?, ${COPIED}, ${NOW} FROM ${tables.outbox} WHERE seq = ?`,
    values: [position, seq],
  };
}

export function makeDelivery(
  tables: Tables,
  namespace: string,
  position: number,
  { id, maxAttempts }: RegisteredHandler,
  chunk: number | null,
  { now, rescueAfterMs }: { now: number; rescueAfterMs: number },
): Statement {
  return {
    text: `INSERT INTO ${tables.deliveries} (namespace, position, handler, status, epoch, chunk,
        attempts, max_attempts, queued_at, rescue_at)
      VALUES (?, ?, ?, 'queued', 0, ?, 0, ?, ?, ?)`,
    values: [namespace, position, id, chunk, maxAttempts, now, now + Math.round(rescueAfterMs)],
  };
}

export function deleteFromOutbox(tables: Tables, seq: number): Statement {
  return { text: `DELETE FROM ${tables.outbox} WHERE seq = ?`, values: [seq] };
}

export function savePosition(tables: Tables, namespace: string, lastPosition: number): Statement {
  return {
    text: `UPDATE ${tables.relay} SET last_position = ? WHERE namespace = ?`,
    values: [lastPosition, namespace],
  };
}
