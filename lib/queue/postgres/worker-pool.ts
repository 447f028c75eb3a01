import type { PostgresConnectionOptions } from 'bullmq';
import type pg from 'pg';

/** A pool as one of BullMQ's workers sees it. */
export interface WorkerPool {
  readonly connection: PostgresConnectionOptions;
  /** From now on it gives the worker no connection. */
  readonly drop: () => void;
}

/**
 * A worker that is closed while it starts takes a connection for LISTEN after its end, and never gives it
 * back: the pool would lack it, and the process would not end.
 */
export function poolForWorker(pool: pg.Pool): WorkerPool {
  let isDropped = false;
  const view = {
    options: pool.options,
    on: pool.on.bind(pool),
    query: pool.query.bind(pool),
    end: pool.end.bind(pool),
    connect: () => (isDropped ? Promise.reject(new Error('the worker is closed')) : pool.connect()),
  };
  return { connection: view, drop: () => void (isDropped = true) };
}
