import type { NewOperation } from '../operation-store.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { isoUtc } from './events.sql.js';

const COLUMNS = `id::text AS id, kind, target::text AS target, reason, actor,
  affected::text AS affected, ${isoUtc('started_at')} AS started_at, ${isoUtc('ended_at')} AS ended_at`;

export function startOperation(
  tables: Tables,
  namespace: string,
  { kind, target, reason, actor }: NewOperation,
): Statement {
  return {
    text: `INSERT INTO ${tables.operations} (namespace, kind, target, reason, actor, affected, started_at)
      VALUES ($1, $2, $3, $4, $5, 0, clock_timestamp()) RETURNING id::text AS id`,
    values: [namespace, kind, JSON.stringify(target), reason, actor],
  };
}

export function endOperation(tables: Tables, namespace: string, id: number): Statement {
  return {
    text: `WITH ended AS (
        UPDATE ${tables.operations} SET ended_at = clock_timestamp()
        WHERE namespace = $1 AND id = $2 RETURNING *
      ) SELECT ${COLUMNS} FROM ended`,
    values: [namespace, id],
  };
}

export function latestOperations(tables: Tables, namespace: string, limit: number): Statement {
  return {
    text: `SELECT ${COLUMNS} FROM ${tables.operations} AS o WHERE namespace = $1
      ORDER BY o.id DESC LIMIT $2`,
    values: [namespace, limit],
  };
}
