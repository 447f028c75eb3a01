import type { DataSourceOptions } from 'typeorm';

export type DatabaseKind = 'postgres' | 'mariadb';

/** What differs between databases for the children and in the texts of statements. */
export interface Dialect {
  /** The application's own tables. `effects` has no unique constraint: doubles must be visible. */
  readonly businessTables: readonly string[];
  /**
   * What no sampling can miss: triggers that note every transition the state machine forbids. They
   * belong to the superuser, so that revoked grants don't touch them.
   */
  readonly watch: readonly string[];
  /** Values: id, shape, number of events, checksums as JSON. Does nothing where the id exists. */
  readonly insertOrder: string;
  /** Values: handler, event id, order id, n, checksum, intact, idempotency key, attempt, child. */
  readonly insertEffect: string;
  /** A field of a column with JSON, as text. */
  jsonField(column: string, field: string): string;
  /** Begins a transaction whose reads are of one moment. */
  readonly beginSnapshot: readonly string[];
  /** What a COMMIT looks like on the wire. */
  readonly commitMessage: Buffer;
  /** A child's pool, whose idle connections are closed soon. */
  dataSource(url: string, child: string): DataSourceOptions;
}

/** Idle connections of the children are closed after so many ms, to see which are not idle. */
export const POOL_IDLE_MS = 2_000;
