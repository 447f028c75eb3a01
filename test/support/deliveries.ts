import type { DataSource } from 'typeorm';

export interface DeliveryRow {
  position: number;
  handler: string;
  status: string;
  epoch: number;
  attempts: number;
  max_attempts: number;
  last_error: string | null;
  dead_at: Date | null;
}

/** The deliveries of a namespace, as they are in the database. */
export function readDeliveries(dataSource: DataSource, namespace: string): Promise<DeliveryRow[]> {
  return dataSource.query(
    `SELECT position::integer AS position, handler, status, epoch, attempts, max_attempts,
       last_error, dead_at
     FROM events_deliveries WHERE namespace = $1 ORDER BY position, handler`,
    [namespace],
  );
}

/** The positions in a namespace's log, in order. */
export async function readPositions(dataSource: DataSource, namespace: string): Promise<number[]> {
  const rows: { position: number }[] = await dataSource.query(
    `SELECT position::integer AS position FROM events_log WHERE namespace = $1 ORDER BY position`,
    [namespace],
  );
  return rows.map(({ position }) => position);
}

export async function countOutbox(dataSource: DataSource, namespace: string): Promise<number> {
  const rows: { count: number }[] = await dataSource.query(
    `SELECT count(*)::integer AS count FROM events_outbox WHERE namespace = $1`,
    [namespace],
  );
  return rows[0]?.count ?? 0;
}

/** 1, 2, … n. */
export function upTo(n: number): number[] {
  return Array.from({ length: n }, (_, index) => index + 1);
}

export function sorted(numbers: Iterable<number>): number[] {
  return [...numbers].toSorted((a, b) => a - b);
}
