import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { UPDATE_JOINED } from './sql-text.js';

/** Names a delivery. */
export interface DeliveryKey {
  readonly position: number;
  readonly handler: string;
}

const keys = `JSON_TABLE(?, '$[*]' COLUMNS (position bigint PATH '$[0]',
  handler varchar(200) CHARACTER SET ascii PATH '$[1]', attempts int PATH '$[2]')) AS picked`;
const joinPicked = (tables: Tables) => `${keys} STRAIGHT_JOIN ${tables.deliveries} AS d
  ON d.namespace = ? AND d.position = picked.position
    AND d.handler = picked.handler COLLATE ascii_bin`;
const toJson = (picked: readonly (DeliveryKey & { readonly attempts?: number })[]) =>
  JSON.stringify(
    picked.map(({ position, handler, attempts = 0 }) => [position, handler, attempts]),
  );

/** Locks those that still are dead, in the order given. What another operation has is waited for. */
export function lockDead(
  tables: Tables,
  namespace: string,
  picked: readonly DeliveryKey[],
): Statement {
  return {
    text: `SELECT d.position, d.handler FROM ${joinPicked(tables)} AND d.status = 'dead' FOR UPDATE`,
    values: [toJson(picked), namespace],
  };
}

/** Locks those that still wait, and passes over what somebody has: a handler may for minutes. */
export function lockWaiting(
  tables: Tables,
  namespace: string,
  picked: readonly DeliveryKey[],
): Statement {
  return {
    text: `SELECT d.position, d.handler FROM ${joinPicked(tables)} AND d.status = 'queued'
      FOR UPDATE SKIP LOCKED`,
    values: [toJson(picked), namespace],
  };
}

/** In the next epoch, with as many attempts again as the handler has. */
export function redriveLocked(
  tables: Tables,
  namespace: string,
  locked: readonly DeliveryKey[],
  targets: ReadonlyMap<string, number>,
): Statement {
  const picked = locked.map((key) => ({ ...key, attempts: targets.get(key.handler) ?? 1 }));
  return {
    text: `${UPDATE_JOINED} ${joinPicked(tables)}
      SET d.status = 'queued', d.epoch = d.epoch + 1, d.chunk = NULL,
        d.max_attempts = d.attempts + picked.attempts,
        d.queued_at = UTC_TIMESTAMP(6), d.rescue_at = UTC_TIMESTAMP(6), d.retry_at = NULL,
        d.dead_at = NULL`,
    values: [toJson(picked), namespace],
  };
}

export function discardLocked(
  tables: Tables,
  namespace: string,
  locked: readonly DeliveryKey[],
  reason: string,
): Statement {
  return {
    text: `${UPDATE_JOINED} ${joinPicked(tables)}
      SET d.status = 'discarded', d.discarded_at = UTC_TIMESTAMP(6), d.discard_reason = ?`,
    values: [toJson(locked), namespace, reason],
  };
}

export function buryLocked(
  tables: Tables,
  namespace: string,
  locked: readonly DeliveryKey[],
  error: string,
): Statement {
  return {
    text: `${UPDATE_JOINED} ${joinPicked(tables)}
      SET d.status = 'dead', d.dead_at = UTC_TIMESTAMP(6), d.last_error = ?, d.rescue_at = NULL,
        d.retry_at = NULL`,
    values: [toJson(locked), namespace, error],
  };
}
