import type { DataSource } from 'typeorm';
import type { Stores } from '../../lib/store/store.js';

/**
 * What not every store has: `transactions` of the caller's that operations join; several
 * `connections`, whose transactions are open at once and wait for each other; `refusals` of values
 * that its columns can't hold.
 */
export type Capability = 'transactions' | 'connections' | 'refusals';

export interface ConnectOptions {
  /** Of the sessions. Default: the server's. */
  readonly timeZone?: string;
  /** Isolation level of transactions that name none. Default: the server's. */
  readonly isolation?: 'READ COMMITTED' | 'REPEATABLE READ' | 'SERIALIZABLE';
  /** Connections in the pool. */
  readonly poolSize?: number;
}

export type Table = 'outbox' | 'log' | 'deliveries' | 'handlers' | 'relay';

/** A value to write; times as so many ms ago, or as ISO 8601 in UTC. */
export type Cell = string | number | null | { readonly agoMs: number } | { readonly at: string };

/** Which rows: those that have all these values, or one of several positions. */
export type Match = Readonly<Record<string, string | number | readonly number[]>>;

/** Rows behind the store's back, to make them old, or to break them. */
export interface RowAccess {
  /**
   * The columns asked for of a namespace's rows, in the order of their primary key. Every value is a
   * text, times (`…_at`) are ISO 8601 in UTC with milliseconds.
   */
  select<Column extends string>(
    table: Table,
    namespace: string,
    columns: readonly Column[],
  ): Promise<Record<Column, string | null>[]>;
  update(
    table: Table,
    namespace: string,
    cells: Readonly<Record<string, Cell>>,
    match?: Match,
  ): Promise<void>;
  remove(table: Table, namespace: string, match?: Match): Promise<void>;
  /** The time now, by the clock that decides, in ms since 1970. */
  now(): Promise<number>;
}

/** Where a store is a database with SQL. The library's tables are there, with the prefix `events_`. */
export interface SqlAccess {
  /** One for all tests; with a pool, so that operations can run at once. */
  readonly dataSource: DataSource;
  /** Left out where a database has one connection. */
  readonly connections?: Connections;
}

export interface Connections {
  /** A DataSource of its own on this database; the suite destroys it. */
  connect(options?: ConnectOptions): Promise<DataSource>;
  /** SQL: the id of the session that runs it. */
  readonly sessionId: string;
  /** Resolves to true while the session waits for a lock. */
  isWaiting(admin: DataSource, sessionId: string): Promise<boolean>;
  /** Ends the session, as if its client had died. */
  endSession(admin: DataSource, sessionId: string): Promise<void>;
}

/** A store under test. */
export interface ContractDatabase {
  /** The stores as an application would get them, on the same data each time. */
  stores(namespace: string, dataSource?: DataSource): Stores;
  /** Brings everything in the namespace that waits for a time nearer. */
  advance(namespace: string, ms: number): Promise<void>;
  readonly rows: RowAccess;
  /** Left out by stores without SQL. */
  readonly sql?: SqlAccess;
  /** Removes the database. */
  drop(): Promise<void>;
}

/** What the contract suite needs from a store's author. */
export interface StoreHarness {
  /** For the names of tests. */
  readonly name: string;
  /** Data and metadata come back as the very text that was stored, down to the order of keys. */
  readonly keepsJsonText: boolean;
  /** Times have microseconds; else milliseconds. */
  readonly keepsMicroseconds: boolean;
  /** What this store can't have, and why: the tests of it are skipped, and say so. */
  readonly limits?: Readonly<Partial<Record<Capability, string>>>;
  open(): Promise<ContractDatabase>;
}
