import type { Dialect } from './dialect.js';
import type { Tables } from './tables.js';

/**
 * Statements that bring everything that waits for a time nearer by so many ms: delayed events, next
 * attempts, rescues. For tests, which would have to wait for it otherwise: the clock itself is the
 * database's. What has happened keeps its time.
 *
 * @param namespace as checked by the options: a plain word
 */
export function bringForward(
  dialect: Pick<Dialect, 'earlier'>,
  tables: Tables,
  namespace: string,
  ms: number,
): string[] {
  const waiting = `namespace = '${namespace}' AND status = 'queued'`;
  return [
    `UPDATE ${tables.outbox} SET scheduled_at = ${dialect.earlier('scheduled_at', ms)}
      WHERE namespace = '${namespace}' AND scheduled_at IS NOT NULL`,
    `UPDATE ${tables.deliveries} SET retry_at = ${dialect.earlier('retry_at', ms)},
        rescue_at = ${dialect.earlier('rescue_at', ms)} WHERE ${waiting}`,
  ];
}
