import type { NewOperation } from '../operation-store.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { bytes, isoUtc } from './sql-text.js';

const COLUMNS = `id, kind, ${bytes('target')} AS target, ${bytes('reason')} AS reason,
  ${bytes('actor')} AS actor, affected, ${isoUtc('started_at')} AS started_at,
  ${isoUtc('ended_at')} AS ended_at`;

export function startOperation(
  tables: Tables,
  namespace: string,
  { kind, target, reason, actor }: NewOperation,
): Statement {
  return {
    text: `INSERT INTO ${tables.operations} (namespace, kind, target, reason, actor, affected, started_at)
      VALUES (?, ?, ?, ?, ?, 0, UTC_TIMESTAMP(6))`,
    values: [namespace, kind, JSON.stringify(target), reason, actor],
  };
}

/** The id that {@link startOperation} was given, on the same connection. */
export function lastId(): Statement {
  return { text: 'SELECT LAST_INSERT_ID() AS id', values: [] };
}

/** Adds what a batch changed. */
export function countAffected(tables: Tables, id: number, affected: number): Statement {
  return {
    text: `UPDATE ${tables.operations} SET affected = affected + ? WHERE id = ?`,
    values: [affected, id],
  };
}

export function endOperation(tables: Tables, namespace: string, id: number): Statement {
  return {
    text: `UPDATE ${tables.operations} SET ended_at = UTC_TIMESTAMP(6) WHERE namespace = ? AND id = ?`,
    values: [namespace, id],
  };
}

export function readOperation(tables: Tables, namespace: string, id: number): Statement {
  return {
    text: `SELECT ${COLUMNS} FROM ${tables.operations} WHERE namespace = ? AND id = ?`,
    values: [namespace, id],
  };
}

export function latestOperations(tables: Tables, namespace: string, limit: number): Statement {
  return {
    text: `SELECT ${COLUMNS} FROM ${tables.operations} WHERE namespace = ? ORDER BY id DESC LIMIT ?`,
    values: [namespace, limit],
  };
}
