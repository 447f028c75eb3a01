import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { bytes, isoUtc } from './sql-text.js';

const FREE_TEXTS = [
  'data',
  'metadata',
  'key',
  'entity_type',
  'entity_id',
  'actor_type',
  'actor_id',
  'causation_id',
  'correlation_id',
];

/** The columns of an event, independent of the connection's settings. */
export function eventColumns(table: string): string {
  const texts = FREE_TEXTS.map((name) => `${bytes(`${table}.\`${name}\``)} AS \`${name}\``);
  return `${table}.event_id, ${table}.name, ${table}.version, ${table}.category,
    ${table}.entity_version, ${isoUtc(`${table}.occurred_at`)} AS occurred_at, ${texts.join(', ')}`;
}

export function readEvents(
  tables: Tables,
  namespace: string,
  positions: readonly number[],
): Statement {
  return {
    text: `SELECT log.position, ${eventColumns('log')} FROM ${tables.log} AS log
      WHERE log.namespace = ? AND log.position IN (?)`,
    values: [namespace, positions],
  };
}

/** The newest events about one entity, newest first; one statement, so that none is seen on its way. */
export function eventsOfEntity(
  tables: Tables,
  namespace: string,
  type: string,
  id: string,
  limit: number,
): Statement {
  const entity = [namespace, type, id, limit];
  return {
    text: `(SELECT log.position, ${eventColumns('log')}, NULL AS seq
        FROM ${tables.log} AS log
        WHERE log.namespace = ? AND log.entity_type = ? AND log.entity_id = ?
        ORDER BY log.position DESC LIMIT ?)
      UNION ALL
      (SELECT NULL, ${eventColumns('box')}, box.seq
        FROM ${tables.outbox} AS box
        WHERE box.namespace = ? AND box.entity_type = ? AND box.entity_id = ?
        ORDER BY box.seq DESC LIMIT ?)
      ORDER BY seq DESC, position DESC LIMIT ?`,
    values: [...entity, ...entity, limit],
  };
}

export function eventById(tables: Tables, namespace: string, eventId: string): Statement {
  // Compared by bytes here, and written in lower case.
  const values = [namespace, eventId.toLowerCase()];
  return {
    text: `SELECT log.position, ${eventColumns('log')}
        FROM ${tables.log} AS log WHERE log.namespace = ? AND log.event_id = ?
      UNION ALL
      SELECT NULL, ${eventColumns('box')}
        FROM ${tables.outbox} AS box WHERE box.namespace = ? AND box.event_id = ?`,
    values: [...values, ...values],
  };
}

/** The deliveries of events, for people. */
export function deliveriesOf(
  tables: Tables,
  namespace: string,
  positions: readonly number[],
): Statement {
  return {
    text: `SELECT d.position, d.handler, d.status, d.attempts, d.max_attempts,
        ${bytes('d.last_error')} AS last_error, ${isoUtc('d.queued_at')} AS queued_at,
        ${isoUtc('d.last_attempt_at')} AS last_attempt_at, ${isoUtc('d.retry_at')} AS retry_at,
        ${isoUtc('d.completed_at')} AS completed_at, ${isoUtc('d.dead_at')} AS dead_at,
        ${isoUtc('d.discarded_at')} AS discarded_at, ${bytes('d.discard_reason')} AS discard_reason
      FROM ${tables.deliveries} AS d
      WHERE d.namespace = ? AND d.position IN (?) ORDER BY d.position, d.handler`,
    values: [namespace, positions],
  };
}
