import type { QueryRunner } from 'typeorm';
import type { DeadLetterStore } from './dead-letter-store.js';
import type { EventStore, FailedAttempt } from './event-store.js';
import type { HealthStore } from './health-store.js';
import type { OperationStore } from './operation-store.js';

/**
 * What an error has left of the transaction in which it came up, where the database goes on as if
 * nothing had happened: `transaction`: nothing, all of it was rolled back; `statement`: all but that
 * statement.
 */
export type TransactionDamage = 'transaction' | 'statement';

/**
 * Why a connection was lost: `ended`: the server was stopped, or an administrator ended the session;
 * `limit`: a limit on what a session does with its transaction has passed; `unexplained`: it is gone.
 */
export type ConnectionLoss = 'ended' | 'limit' | 'unexplained';

/** What has become of a transaction; `unknown`: it may have ended. */
export type TransactionState = 'open' | 'committed' | 'rolled back' | 'unknown';

/** What the answers to statements in transactions tell. Asked of all, the application's own too. */
export interface TransactionWatch {
  /**
   * What a statement's error has undone beside the statement's own doing, so that an application that
   * swallows it would commit less than it believes.
   */
  damageOf(error: unknown, text: string): TransactionDamage | undefined;
  /**
   * What a statement that succeeded has made of its transaction; undefined: nothing that is news.
   *
   * @param text undefined: the statement was to begin the transaction
   */
  stateAfter(answer: unknown, text: string | undefined): TransactionState | undefined;
}

/** What the library must know of a database, beside the operations on its tables. */
export interface StoreTraits {
  /** Connections that the DataSource may have open at once. */
  readonly poolSize: number;
  /** All transactions are of one query runner, which is therefore nobody's to shut. Default: no. */
  readonly sharesRunner?: boolean;
  /**
   * Whether the database answered, and only chose another transaction: a deadlock, a serialization
   * failure, a lock that was taken. To be tried again, but no outage.
   */
  isContention(error: unknown): boolean;
  /** What a driver's error, or one of a statement, says of a lost connection; undefined: nothing. */
  connectionLoss(error: unknown): ConnectionLoss | undefined;
  /** Left out where the database refuses to go on after any error, and commits nothing unasked. */
  readonly transactionWatch?: TransactionWatch;
  /**
   * Whether the runner's transaction, which it believes to be open, is. Left out where nothing else
   * could end it.
   */
  isTransactionOpen?(runner: QueryRunner): Promise<boolean>;
  /**
   * Takes back a completion by this very attempt, in this epoch, and records the attempt as failed:
   * the handler's transaction was committed before the handler had ended. False: there is none. Left
   * out where that can't be.
   */
  uncomplete?(attempt: FailedAttempt, rescueAfterMs: number): Promise<boolean>;
}

/** A database's store, complete. */
export type Store = EventStore & StoreTraits;

/** The database, by capability. */
export interface Stores {
  readonly events: Store;
  readonly deadLetters: DeadLetterStore;
  readonly operations: OperationStore;
  readonly health: HealthStore;
}
