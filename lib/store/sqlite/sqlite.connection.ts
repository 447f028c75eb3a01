import type { DataSource, EntitySubscriberInterface, QueryRunner } from 'typeorm';
import { EventTransactionFailedError } from '../../errors.js';
import type { Statement } from '../statement.js';
import { NOW } from './sql-text.js';
import { ConnectionTakenError } from './sqlite.errors.js';

/** How long an operation waits for the end of an application's transaction, in ms. */
const WAIT_LIMIT_MS = 3_000;

/** better-sqlite3, as far as it is used here. */
interface Database {
  readonly inTransaction: boolean;
  prepare(text: string): Prepared;
  transaction<T>(work: () => T): { immediate(): T };
}

interface Prepared {
  /** Whether it returns rows. */
  readonly reader: boolean;
  all(...values: unknown[]): unknown[];
  run(...values: unknown[]): { readonly changes: number; readonly lastInsertRowid: number };
}

/** TypeORM's driver, as far as it is used here. */
interface Driver {
  readonly databaseConnection: Database;
  createQueryRunner(mode: 'master'): QueryRunner;
}

/** Runs the statements of one operation, one after the other, with nothing in between. */
export interface Session {
  all<Row>(statement: Statement): Row[];
  /** Returns the number of rows that it changed. */
  run(statement: Statement): number;
  /** The same for an INSERT; returns the row's id. */
  insert(statement: Statement): number;
}

/** One time for several statements, in ms since 1970, by the clock that all of them go by. */
export function currentTime(session: Session): number {
  const [row] = session.all<{ now: number }>({ text: `SELECT ${NOW} AS now`, values: [] });
  return (row as { now: number }).now;
}

/**
 * Runs the library's own statements on SQLite, where a DataSource has one connection and one query
 * runner that everybody shares: whatever is sent while a transaction is open becomes a part of it
 * (A8). So each operation is one piece of synchronous work, straight on the driver's connection:
 * no statement of the application's can get into it. And it waits until no transaction of the
 * application's is open, unless it is to take part in it.
 */
export class SqliteConnection {
  private prepared = new Map<string, Prepared>();
  private preparedOn: Database | undefined;

  constructor(
    private readonly dataSource: DataSource,
    private readonly waitLimitMs = WAIT_LIMIT_MS,
  ) {}

  /**
   * Runs `work` in a transaction, which is undone if it throws.
   *
   * @param runner in its open transaction, as a savepoint
   * @throws EventTransactionFailedError if SQLite has ended that by itself
   * @throws ConnectionTakenError if another one is open for too long
   */
  async transaction<T>(work: (session: Session) => T, runner?: QueryRunner): Promise<T> {
    if (runner === undefined) await this.untilFree();
    else if (this.isTransactionFailed(runner)) throw new EventTransactionFailedError(UNDONE);
    return this.database.transaction(() => work(this.session)).immediate();
  }

  /** Whether SQLite has rolled back the runner's transaction by itself, as it does after some errors. */
  isTransactionFailed(runner: QueryRunner): boolean {
    return runner.isTransactionActive && !this.database.inTransaction;
  }

  private readonly session: Session = {
    all: <Row>({ text, values }: Statement) => this.prepare(text).all(...values) as Row[],
    run: ({ text, values }) => this.prepare(text).run(...values).changes,
    insert: ({ text, values }) => this.prepare(text).run(...values).lastInsertRowid,
  };

  private prepare(text: string): Prepared {
    const { database } = this;
    if (this.preparedOn !== database) {
      this.preparedOn = database;
      this.prepared = new Map();
    }
    const prepared = this.prepared.get(text) ?? database.prepare(text);
    this.prepared.set(text, prepared);
    return prepared;
  }

  private async untilFree(): Promise<void> {
    const deadline = performance.now() + this.waitLimitMs;
    while (this.database.inTransaction && !this.takesPart()) {
      await this.transactionEnd(deadline - performance.now());
    }
  }

  /** The DataSource may have been made to hand out runners that work in the open transaction. */
  private takesPart(): boolean {
    return this.dataSource.createQueryRunner('master') !== this.driver.createQueryRunner('master');
  }

  private async transactionEnd(limitMs: number): Promise<void> {
    // The array that TypeORM goes through after each statement.
    const subscribers = this.dataSource.subscribers;
    let watch: EntitySubscriberInterface | undefined;
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        watch = {
          afterQuery: () => {
            if (!this.database.inTransaction) resolve();
          },
        };
        subscribers.push(watch);
        const expired = () => reject(new ConnectionTakenError(this.waitLimitMs));
        timer = setTimeout(expired, Math.max(0, limitMs));
      });
    } finally {
      clearTimeout(timer);
      if (watch !== undefined) subscribers.splice(subscribers.indexOf(watch), 1);
    }
  }

  private get database(): Database {
    return this.driver.databaseConnection;
  }

  private get driver(): Driver {
    return this.dataSource.driver as unknown as Driver;
  }
}

const UNDONE =
  'SQLite has rolled this transaction back by itself after an error that was swallowed: nothing in it is ' +
  'saved, and what comes now would be committed alone. Let the error through.';
