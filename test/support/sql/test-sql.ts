import type { DataSource } from 'typeorm';

/** Whoever may ask everything: any connection of a test's. */
export type Admin = Pick<DataSource, 'query'>;

/** Rows of one of our tables, as a trigger before each sees them. */
export interface TriggerRows {
  /** Of the trigger; one that nobody else uses. */
  readonly name: string;
  readonly before: 'INSERT' | 'UPDATE';
  readonly table: string;
  /** A condition on `NEW`. */
  readonly when: string;
}

/**
 * What the databases write in different ways, and what only an administrator asks. Everything else
 * in specs is plain SQL, with parameters through TypeORM's `sql` tag.
 */
export interface TestSql {
  /** The clock at this moment, however long the transaction is open; as our tables keep times. */
  readonly now: string;
  /** That much later than {@link now}; earlier if negative. */
  after(ms: number): string;
  /** An instant, given in ISO 8601, as our tables keep times. */
  instant(iso: string): string;
  /** A time of our tables as text in ISO 8601, to the microsecond. */
  iso(column: string): string;
  /** A new UUID. */
  readonly uuid: string;
  /** For FROM: numbers `n` from 1 to `rows`. */
  series(rows: number): string;
  /** An expression that takes that long. */
  sleep(seconds: number): string;
  /** The session that runs the statement. */
  readonly sessionId: string;
  /** A statement that fails like one which the database asks to run again, with its transaction. */
  readonly conflict: string;
  /** A part of what a relay pass sends first. */
  readonly lockRelay: string;

  /** Ends a session. */
  endSession(admin: Admin, sessionId: string | number): Promise<void>;
  /** Sessions of this database that wait for a lock. */
  lockWaits(admin: Admin): Promise<string[]>;
  /** Sessions of this database that are in a transaction, and at work on nothing. */
  idleTransactions(admin: Admin): Promise<string[]>;
  /** Every such row fails its statement from now on. */
  refuse(admin: Admin, rows: TriggerRows, error: string): Promise<void>;
  /** Every such row gets another value in a column from now on. */
  divert(admin: Admin, rows: TriggerRows, column: string, value: string): Promise<void>;
  /** Ends what {@link refuse} or {@link divert} began. */
  dropTrigger(admin: Admin, rows: TriggerRows): Promise<void>;
}
