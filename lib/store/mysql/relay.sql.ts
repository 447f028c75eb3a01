import type { RegisteredHandler } from '../event-store.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { eventColumns } from './events.sql.js';

/** Whether anything is due; reads at most one row of each kind. */
export function hasDue(tables: Tables, namespace: string): Statement {
  return {
    text: `SELECT EXISTS (SELECT 1 FROM ${tables.outbox} WHERE namespace = ? AND scheduled_at IS NULL)
      OR EXISTS (SELECT 1 FROM ${tables.outbox} WHERE namespace = ? AND scheduled_at <= UTC_TIMESTAMP(6))
      AS due`,
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
      SELECT ?, ?, COALESCE(MAX(position), 0) FROM ${tables.log} WHERE namespace = ?
      ON DUPLICATE KEY UPDATE identity = ${tables.relay}.identity`,
    values: [namespace, identity, namespace],
  };
}

export function readIdentity(tables: Tables, namespace: string): Statement {
  return {
    text: `SELECT identity FROM ${tables.relay} WHERE namespace = ?`,
    values: [namespace],
  };
}

/**
 * The lock that makes positions gap-free and visible in order: one relay at a time per namespace,
 * until commit. No row: another relay has it.
 */
export function lockRelay(tables: Tables, namespace: string): Statement {
  return {
    text: `SELECT last_position FROM ${tables.relay} WHERE namespace = ? FOR UPDATE SKIP LOCKED`,
    values: [namespace],
  };
}

/** Due events in the order of their emits; of those with and those without a delay a batch each. */
export function readDue(tables: Tables, namespace: string, batchSize: number): Statement {
  return {
    text: `SELECT box.seq, ${eventColumns('box')} FROM (
        (SELECT seq FROM ${tables.outbox}
          WHERE namespace = ? AND scheduled_at IS NULL ORDER BY seq LIMIT ?)
        UNION ALL
        (SELECT seq FROM ${tables.outbox}
          WHERE namespace = ? AND scheduled_at <= UTC_TIMESTAMP(6) ORDER BY scheduled_at LIMIT ?)
      ) AS due STRAIGHT_JOIN ${tables.outbox} AS box ON box.seq = due.seq ORDER BY box.seq`,
    values: [namespace, batchSize, namespace, batchSize],
  };
}

const COPIED = `namespace, event_id, name, version, category, data, metadata, headers, \`key\`,
        entity_type, entity_id, entity_version, actor_type, actor_id, causation_id, correlation_id,
        occurred_at`;

/** Copies events to the log, in the order of `seq`. The data does not cross the wire again. */
export function copyToLog(
  tables: Tables,
  lastPosition: number,
  seqs: readonly number[],
): Statement {
  return {
    text: `INSERT INTO ${tables.log} (position, ${COPIED}, relayed_at)
      SELECT ? + ROW_NUMBER() OVER (ORDER BY seq), ${COPIED}, UTC_TIMESTAMP(6)
      FROM ${tables.outbox} WHERE seq IN (?)`,
    values: [lastPosition, seqs],
  };
}

/** One delivery per event after `lastPosition` and subscribed handler. */
export function makeDeliveries(
  tables: Tables,
  namespace: string,
  lastPosition: number,
  handlers: readonly (RegisteredHandler & { readonly chunkSize: number })[],
  rescueAfterMs: number,
): Statement {
  const subscriptions = handlers.flatMap(({ id, events, maxAttempts, chunkSize }) =>
    [...new Set(events)].map((event) => [event, id, maxAttempts, chunkSize]),
  );
  return {
    text: `INSERT INTO ${tables.deliveries} (namespace, position, handler, status, epoch, chunk,
        attempts, max_attempts, queued_at, rescue_at)
      SELECT log.namespace, log.position, subscription.handler, 'queued', 0,
        IF(subscription.size > 1,
          ? + (log.position - ?) DIV subscription.size * subscription.size, NULL),
        0, subscription.max_attempts, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
      FROM ${tables.log} AS log
      STRAIGHT_JOIN JSON_TABLE(?, '$[*]' COLUMNS (
          event varchar(200) CHARACTER SET ascii PATH '$[0]',
          handler varchar(200) CHARACTER SET ascii PATH '$[1]',
          max_attempts int PATH '$[2]', size int PATH '$[3]')) AS subscription
        ON subscription.event COLLATE ascii_bin = log.name
      WHERE log.namespace = ? AND log.position > ?`,
    values: [
      lastPosition + 1,
      lastPosition + 1,
      Math.round(rescueAfterMs * 1_000),
      JSON.stringify(subscriptions),
      namespace,
      lastPosition,
    ],
  };
}

export function deleteFromOutbox(tables: Tables, seqs: readonly number[]): Statement {
  return { text: `DELETE FROM ${tables.outbox} WHERE seq IN (?)`, values: [seqs] };
}

export function savePosition(tables: Tables, namespace: string, lastPosition: number): Statement {
  return {
    text: `UPDATE ${tables.relay} SET last_position = ? WHERE namespace = ?`,
    values: [lastPosition, namespace],
  };
}
