import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { NOW } from './sql-text.js';

/** Names a delivery. */
export interface DeliveryKey {
  readonly position: number;
  readonly handler: string;
}

function change(
  tables: Tables,
  namespace: string,
  { position, handler }: DeliveryKey,
  set: Statement,
): Statement {
  return {
    text: `UPDATE ${tables.deliveries} SET ${set.text}
      WHERE namespace = ? AND position = ? AND handler = ?`,
    values: [...set.values, namespace, position, handler],
  };
}

/** In the next epoch, with as many attempts again as the handler has. */
export function redrive(
  tables: Tables,
  namespace: string,
  key: DeliveryKey,
  attempts: number,
): Statement {
  return change(tables, namespace, key, {
    text: `status = 'queued', epoch = epoch + 1, chunk = NULL, max_attempts = attempts + ?,
        queued_at = ${NOW},
      rescue_at = ${NOW}, retry_at = NULL, dead_at = NULL`,
    values: [attempts],
  });
}

export function discard(
  tables: Tables,
  namespace: string,
  key: DeliveryKey,
  reason: string,
): Statement {
  return change(tables, namespace, key, {
    text: `status = 'discarded', discarded_at = ${NOW}, discard_reason = ?`,
    values: [reason],
  });
}

export function bury(
  tables: Tables,
  namespace: string,
  key: DeliveryKey,
  error: string,
): Statement {
  return change(tables, namespace, key, {
    text: `status = 'dead', dead_at = ${NOW}, last_error = ?, rescue_at = NULL, retry_at = NULL`,
    values: [error],
  });
}
