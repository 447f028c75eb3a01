import type { DataSource, QueryRunner } from 'typeorm';
import type { Stores } from './store.js';
import type { Tables } from './tables.js';

/** One version of the library's tables. */
export interface SchemaVersion {
  /** The statements that make it of the version before. */
  up(tables: Tables, runner: QueryRunner): string[] | Promise<string[]>;
  /** The statements that undo it; they may be run where nothing is, or only a part. */
  down(tables: Tables): string[];
}

/** How a database's tables are made and changed. */
export interface SchemaDialect {
  /** All versions, in order; version n is at index n - 1. */
  readonly versions: readonly SchemaVersion[];
  /** The time now, in SQL. */
  readonly now: string;
  /**
   * Runs `apply` while nobody else migrates this database: where the database can undo changes of
   * tables, in the runner's open transaction or in one of its own.
   */
  exclusively(runner: QueryRunner, apply: () => Promise<void>): Promise<void>;
  /** Makes the table of applied versions, and the schema it is in, where they are missing. */
  ensureMigrationsTable(runner: QueryRunner, tables: Tables): Promise<void>;
  hasMigrationsTable(runner: QueryRunner, tables: Tables): Promise<boolean>;
}

/** A kind of database: all that is its own. */
export interface Dialect {
  /** Not for applications: they are refused at boot. */
  readonly testsOnly?: boolean;
  readonly schema: SchemaDialect;
  /** SQL: the time in a column, so many ms earlier. */
  earlier(column: string, ms: number): string;
  createStores(dataSource: DataSource, tables: Tables, namespace: string): Stores;
}
