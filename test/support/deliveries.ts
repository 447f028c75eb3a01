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
export async function readDeliveries(
  dataSource: DataSource,
  namespace: string,
): Promise<DeliveryRow[]> {
  type Row = Omit<DeliveryRow, 'position'> & { position: number | string };
  const rows = await dataSource.sql<Row[]>`
    SELECT position, handler, status, epoch, attempts, max_attempts, last_error, dead_at
    FROM events_deliveries WHERE namespace = ${namespace} ORDER BY position, handler`;
  return rows.map((row) => ({ ...row, position: Number(row.position) }));
}

/** The positions in a namespace's log, in order. */
export async function readPositions(dataSource: DataSource, namespace: string): Promise<number[]> {
  const rows = await dataSource.sql<{ position: number | string }[]>`
    SELECT position FROM events_log WHERE namespace = ${namespace} ORDER BY position`;
  return rows.map(({ position }) => Number(position));
}

export function countOutbox(dataSource: DataSource, namespace: string): Promise<number> {
  return countRows(dataSource, 'events_outbox', namespace);
}

/** Rows of a namespace in one of our tables. */
export async function countRows(
  dataSource: DataSource,
  table: string,
  namespace: string,
): Promise<number> {
  const [row] = await dataSource.sql<[{ count: number | string }]>`
    SELECT count(*) AS count FROM ${() => table} WHERE namespace = ${namespace}`;
  return Number(row.count);
}

/** 1, 2, … n. */
export function upTo(n: number): number[] {
  return Array.from({ length: n }, (_, index) => index + 1);
}

export function sorted(numbers: Iterable<number>): number[] {
  return [...numbers].toSorted((a, b) => a - b);
}
