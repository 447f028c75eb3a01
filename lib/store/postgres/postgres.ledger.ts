import type { StoreConnection } from '../connection.js';
import type { Tables } from '../tables.js';
import { foldLedger } from './ledger.sql.js';

/** The ledger is added up after so many increments by one process. */
const FOLD_AFTER = 200;

/** Keeps the ledger short: its increments are added up now and then. */
export class PostgresLedger {
  /** Rows that this process added since it was last added up, about. */
  private increments = 0;

  constructor(
    private readonly connection: StoreConnection,
    private readonly tables: Tables,
    private readonly namespace: string,
  ) {}

  /** A statement has added a row. */
  added(): void {
    // Not awaited: it needs a connection, and the caller may hold the last one.
    if (++this.increments >= FOLD_AFTER) void this.fold();
  }

  /** What fails is left to the next time. */
  private async fold(): Promise<void> {
    this.increments = 0;
    const statement = foldLedger(this.tables, this.namespace, FOLD_AFTER * 10);
    await this.connection.query(statement).catch(() => undefined);
  }
}
