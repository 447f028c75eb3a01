import { EventEmitter } from 'node:events';
import { DataSource, EntityManager, TransactionNotStartedError, type QueryRunner } from 'typeorm';
import type { TransactionJoin } from '../join/transaction-join.js';
import { tellSubscribers, type TransactionHook } from '../transaction-hooks.js';
import { UndoLog } from './undo-log.js';

const NO_TABLES =
  'EventsTestingModule with storage "memory" has transactions and events, but no tables. Give the test ' +
  "a repository in memory of its own, or run it on SQLite: { type: 'better-sqlite3', database: ':memory:' }.";

/**
 * Stands in for the DataSource of an application that is tested without a database. It has
 * transactions, savepoints and subscribers to them, and nothing else: whatever needs a table throws.
 */
export interface MemoryDataSource extends DataSource {
  /** What a rollback of the runner has to undo. */
  logOf(runner: QueryRunner, join: TransactionJoin): UndoLog;
}

export function createMemoryDataSource(): MemoryDataSource {
  const logs = new WeakMap<QueryRunner, UndoLog>();
  const dataSource = Object.create(DataSource.prototype) as MemoryDataSource;
  const refuse = () => {
    throw new Error(NO_TABLES);
  };
  Object.assign(dataSource, {
    name: 'default',
    options: { type: 'memory' },
    isInitialized: true,
    subscribers: [],
    entityMetadatas: [],
    driver: { options: { type: 'memory' }, escape: (name: string) => name },
    createQueryRunner: () => createRunner(dataSource, logs),
    createEntityManager: (runner?: QueryRunner) => new EntityManager(dataSource, runner),
    destroy: async () => undefined,
    query: async () => refuse(),
    createQueryBuilder: refuse,
    getRepository: refuse,
    getTreeRepository: refuse,
    getMetadata: refuse,
    logOf: (runner: QueryRunner, join: TransactionJoin) => {
      let own = runner;
      for (let parent: QueryRunner | undefined = own; parent; parent = join.parentOf(parent)) {
        own = parent;
      }
      return logs.get(own) ?? new UndoLog();
    },
  });
  Object.assign(dataSource, { manager: dataSource.createEntityManager() });
  return dataSource;
}

function createRunner(dataSource: DataSource, logs: WeakMap<QueryRunner, UndoLog>): QueryRunner {
  const log = new UndoLog();
  const connection = new EventEmitter();
  const name = (depth: number) => `typeorm_${depth}`;
  const tell = (hook: TransactionHook) => tellSubscribers(made, hook);
  const assertActive = () => {
    if (!runner.isTransactionActive) throw new TransactionNotStartedError();
  };
  const ended = () => {
    runner.transactionDepth -= 1;
    runner.isTransactionActive = runner.transactionDepth > 0;
    if (!runner.isTransactionActive) log.clear();
  };
  const runner = {
    dataSource,
    connection: dataSource,
    data: {},
    isTransactionActive: false,
    isReleased: false,
    transactionDepth: 0,
    connect: async () => connection,
    release: async () => {
      runner.isReleased = true;
    },
    async startTransaction() {
      runner.isTransactionActive = true;
      await tell('beforeTransactionStart');
      if (runner.transactionDepth > 0) log.savepoint(name(runner.transactionDepth));
      runner.transactionDepth += 1;
      await tell('afterTransactionStart');
    },
    async commitTransaction() {
      assertActive();
      await tell('beforeTransactionCommit');
      if (runner.transactionDepth > 1) log.release(name(runner.transactionDepth - 1));
      ended();
      await tell('afterTransactionCommit');
    },
    async rollbackTransaction() {
      assertActive();
      await tell('beforeTransactionRollback');
      log.rollbackTo(runner.transactionDepth > 1 ? name(runner.transactionDepth - 1) : undefined);
      ended();
      await tell('afterTransactionRollback');
    },
    /** Savepoints, as a joined transaction sets them. */
    async query(text: string) {
      const match = /^(SAVEPOINT|RELEASE SAVEPOINT|ROLLBACK TO SAVEPOINT) (\w+)$/.exec(text);
      const [, command, savepoint = ''] = match ?? [];
      if (command === 'SAVEPOINT') log.savepoint(savepoint);
      else if (command === 'RELEASE SAVEPOINT') log.release(savepoint);
      else if (command === 'ROLLBACK TO SAVEPOINT') log.rollbackTo(savepoint);
      else throw new Error(NO_TABLES);
    },
  };
  const made = runner as unknown as QueryRunner;
  logs.set(made, log);
  // Makes itself the runner's manager.
  dataSource.createEntityManager(made);
  return made;
}
