import type { DeadLetterCriteria, DeadLetterKey } from '../dead-letter-store.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { exactUtc, isoUtc } from './events.sql.js';

/** Conditions on `d` (a delivery) and `log` (its event), with their values added to `values`. */
export function where(criteria: DeadLetterCriteria, values: unknown[]): string {
  const conditions = [`d.namespace = $1`, `d.status = 'dead'`];
  const add = (value: unknown, condition: (parameter: string) => string) => {
    if (value !== undefined) conditions.push(condition(`$${values.push(value)}`));
  };
  add(criteria.position, (position) => `d.position = ${position}::bigint`);
  add(criteria.eventId, (id) => `log.event_id = ${id}::uuid`);
  add(criteria.event, (name) => `log.name = ${name}`);
  add(criteria.handler, (handler) => `d.handler = ${handler}`);
  // Not LIKE: what is searched for may hold its wildcards.
  add(criteria.error, (text) => `strpos(lower(d.last_error), lower(${text})) > 0`);
  add(criteria.deadFrom, (from) => `d.dead_at >= ${from}::timestamptz`);
  add(criteria.deadUntil, (until) => `d.dead_at < ${until}::timestamptz`);
  return conditions.join(' AND ');
}

/** The event's columns are NULL where the log has lost it. */
export const DELIVERY_AND_EVENT = (tables: Tables) => `${tables.deliveries} AS d
  LEFT JOIN ${tables.log} AS log ON log.namespace = d.namespace AND log.position = d.position`;

/** For {@link where}: only what can be handled. */
export const HAS_EVENT = 'log.position IS NOT NULL';

/** The last died first. */
export function listDeadLetters(
  tables: Tables,
  namespace: string,
  criteria: DeadLetterCriteria,
  limit: number,
  after?: DeadLetterKey,
): Statement {
  const values: unknown[] = [namespace, limit];
  let condition = where(criteria, values);
  if (after !== undefined) {
    const [at, position, handler] = [after.deadAt, after.position, after.handler].map(
      (value) => `$${values.push(value)}`,
    );
    condition += ` AND (d.dead_at, d.position, d.handler)
      < (${at}::timestamptz, ${position}::bigint, ${handler}::text)`;
  }
  return {
    text: `SELECT d.position::text AS position, d.handler, ${exactUtc('d.dead_at')} AS dead_at,
        log.event_id::text AS event_id, log.name, log.version::text AS version,
        ${isoUtc('log.occurred_at')} AS occurred_at, d.epoch::text AS epoch,
        d.attempts::text AS attempts, d.max_attempts::text AS max_attempts, d.last_error
      FROM ${DELIVERY_AND_EVENT(tables)} WHERE ${condition}
      ORDER BY d.dead_at DESC, d.position DESC, d.handler DESC LIMIT $2`,
    values,
  };
}

/** Those that match and whose event the log has lost. */
export function countLost(
  tables: Tables,
  namespace: string,
  criteria: DeadLetterCriteria,
): Statement {
  const values: unknown[] = [namespace];
  return {
    text: `SELECT count(*)::text AS lost FROM ${DELIVERY_AND_EVENT(tables)}
      WHERE ${where(criteria, values)} AND log.position IS NULL`,
    values,
  };
}

export function readAttempts(
  tables: Tables,
  namespace: string,
  position: number,
  handler: string,
): Statement {
  return {
    text: `SELECT attempt::text AS attempt, epoch::text AS epoch, error,
        ${isoUtc('failed_at')} AS failed_at
      FROM ${tables.attempts} AS a WHERE namespace = $1 AND position = $2 AND handler = $3
      ORDER BY a.attempt`,
    values: [namespace, position, handler],
  };
}
