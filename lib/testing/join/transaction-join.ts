import { AsyncLocalStorage } from 'node:async_hooks';
import type { DataSource, QueryRunner } from 'typeorm';
import { joinedRunner } from './joined-runner.js';
import { Savepoints } from './savepoints.js';

/**
 * Makes work take part in a transaction that is open already: while it runs, every query runner that
 * the DataSource creates for it, for the library, handlers or repositories, works in that transaction
 * (see {@link joinedRunner}). `createQueryRunner` of this one DataSource is wrapped, no prototype is
 * touched.
 */
export class TransactionJoin {
  private readonly storage = new AsyncLocalStorage<Savepoints>();
  private readonly savepoints = new WeakMap<QueryRunner, Savepoints>();
  private readonly parents = new WeakMap<QueryRunner, QueryRunner>();

  constructor(private readonly dataSource: DataSource) {}

  /** Returns what undoes it. */
  install(): () => void {
    const { dataSource } = this;
    const hadOwn = Object.hasOwn(dataSource, 'createQueryRunner');
    // oxlint-disable-next-line typescript/unbound-method -- it is applied to its DataSource below
    const original = dataSource.createQueryRunner;
    const create = (mode?: 'master' | 'slave') => this.create() ?? original.call(dataSource, mode);
    dataSource.createQueryRunner = create;
    return () => {
      // Somebody wrapped it after us: taking ours out would take theirs out too.
      if (dataSource.createQueryRunner !== create) return;
      if (hadOwn) dataSource.createQueryRunner = original;
      else delete (dataSource as Partial<DataSource>).createQueryRunner;
    };
  }

  /** Runs `work` in the runner's open transaction. */
  run<T>(runner: QueryRunner, work: () => T): T {
    const savepoints = this.savepoints.get(runner) ?? new Savepoints(runner);
    this.savepoints.set(runner, savepoints);
    return this.storage.run(savepoints, work);
  }

  /** The runner whose transaction work takes part in here. */
  current(): QueryRunner | undefined {
    return this.storage.getStore()?.runner;
  }

  /** The runner in whose transaction this one works; undefined: it has one of its own. */
  parentOf(runner: QueryRunner): QueryRunner | undefined {
    return this.parents.get(runner);
  }

  /**
   * Runs `work`, which may send statements in the joined transaction by itself, so that it can't leave
   * that unusable: PostgreSQL refuses everything after an error that is not rolled back.
   *
   * @param isFailed whether a runner's transaction is in that state
   */
  async protect<T>(
    work: () => Promise<T>,
    isFailed: (runner: QueryRunner) => Promise<boolean>,
  ): Promise<T> {
    const savepoints = this.storage.getStore();
    if (savepoints === undefined) return work();
    const savepoint = await savepoints.begin();
    try {
      return await work();
    } finally {
      const failed = await savepoints.inTurn(() => isFailed(savepoints.runner));
      await (failed ? savepoints.rollback(savepoint) : savepoints.commit(savepoint));
    }
  }

  private create(): QueryRunner | undefined {
    const savepoints = this.storage.getStore();
    if (savepoints === undefined) return undefined;
    const runner = joinedRunner(savepoints);
    this.parents.set(runner, savepoints.runner);
    return runner;
  }
}
