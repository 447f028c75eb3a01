import {
  QueryRunnerAlreadyReleasedError,
  TransactionNotStartedError,
  type QueryRunner,
} from 'typeorm';
import { tellSubscribers, type TransactionHook } from '../transaction-hooks.js';
import type { Savepoint, Savepoints } from './savepoints.js';

/** The parts of a query runner that are a joined runner's own. */
interface Own {
  transactionDepth: number;
  isTransactionActive: boolean;
  isReleased: boolean;
}

/**
 * A query runner that looks like one on a connection of its own, but works in another runner's open
 * transaction: a transaction is a savepoint there, and a statement outside of one is committed on its
 * own, in the same way. Subscribers are told of it as of any other.
 */
export function joinedRunner(savepoints: Savepoints): QueryRunner {
  const { runner: parent } = savepoints;
  const { dataSource } = parent;
  const begun: Savepoint[] = [];
  const joined = Object.create(parent) as QueryRunner & Own;

  const tell = (hook: TransactionHook) => tellSubscribers(joined, hook);
  const assertActive = () => {
    if (!joined.isTransactionActive) throw new TransactionNotStartedError();
  };
  const ended = () => {
    joined.transactionDepth -= 1;
    joined.isTransactionActive = joined.transactionDepth > 0;
  };

  const own: Partial<QueryRunner> & Own = {
    transactionDepth: 0,
    isTransactionActive: false,
    isReleased: false,
    data: {},
    async query(text: string, ...rest: [parameters?: unknown[], structured?: true]) {
      if (joined.isReleased) throw new QueryRunnerAlreadyReleasedError();
      const statement = () => parent.query(text, ...(rest as [unknown[], true]));
      return joined.isTransactionActive
        ? savepoints.inTurn(statement)
        : savepoints.alone(statement);
    },
    async startTransaction() {
      if (joined.isReleased) throw new QueryRunnerAlreadyReleasedError();
      joined.isTransactionActive = true;
      await tell('beforeTransactionStart');
      begun.push(await savepoints.begin());
      joined.transactionDepth += 1;
      await tell('afterTransactionStart');
    },
    async commitTransaction() {
      assertActive();
      await tell('beforeTransactionCommit');
      await savepoints.commit(begun.at(-1) as Savepoint);
      begun.pop();
      ended();
      await tell('afterTransactionCommit');
    },
    async rollbackTransaction() {
      assertActive();
      await tell('beforeTransactionRollback');
      await savepoints.rollback(begun.pop() as Savepoint);
      ended();
      await tell('afterTransactionRollback');
    },
    async release() {
      joined.isReleased = true;
    },
  };
  Object.assign(joined, own);
  // Makes itself the runner's manager.
  dataSource.createEntityManager(joined);
  return joined;
}
