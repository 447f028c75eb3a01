import type { EntityManager } from 'typeorm';
import { sql } from './database.js';

type Through = Pick<EntityManager, 'query'>;

interface Positions {
  readonly count: number;
  /** The first position is the next one. */
  readonly from?: number;
}

/** Events in the log as a relay leaves them, without deliveries. */
export async function insertLogged(
  through: Through,
  namespace: string,
  { count, from = 0, name = 'happened', data = '{}' }: Positions & { name?: string; data?: string },
): Promise<void> {
  await through.query(
    `INSERT INTO events_log (namespace, position, event_id, name, version, category, data,
        occurred_at, relayed_at)
      SELECT '${namespace}', ${from} + n, ${sql.uuid}, '${name}', 1, 'domain', '${data}',
        ${sql.now}, ${sql.now} FROM ${sql.series(count)}`,
  );
}

/**
 * Deliveries of a handler as a relay leaves them: queued, and nobody has tried them.
 *
 * @param values other values of columns, in SQL
 */
export async function insertDeliveries(
  through: Through,
  namespace: string,
  { count, from = 0, handler = 'noted' }: Positions & { handler?: string },
  values: Record<string, string> = {},
): Promise<void> {
  const columns = {
    status: `'queued'`,
    epoch: '0',
    attempts: '0',
    max_attempts: '5',
    queued_at: sql.now,
    rescue_at: sql.after(600_000),
    ...values,
  };
  await through.query(
    `INSERT INTO events_deliveries (namespace, position, handler, ${Object.keys(columns).join(', ')})
      SELECT '${namespace}', ${from} + n, '${handler}', ${Object.values(columns).join(', ')}
      FROM ${sql.series(count)}`,
  );
}
