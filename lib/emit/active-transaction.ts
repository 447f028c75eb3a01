import { AsyncLocalStorage } from 'node:async_hooks';
import type { DataSource, EntityManager, QueryRunner } from 'typeorm';
import { EventTransactionEndedError, WrongDataSourceError } from '../errors.js';

/** One call of `dataSource.transaction()` (or of something built on it), or one nested in it. */
interface Frame {
  readonly manager: EntityManager;
  /** False once the callback has settled; the commit or rollback follows. */
  open: boolean;
  /** Whether typeorm-transactional was seen to have made this transaction its current one. */
  followed: boolean;
}

type Callback = (manager: EntityManager) => Promise<unknown>;

/**
 * Finds the transaction that is active where `emit` is called.
 *
 * Callbacks of the DataSource's `transaction()` run in an AsyncLocalStorage: the method of this one
 * manager is wrapped, no prototype is touched. That also sees repositories' managers and
 * `@nestjs-cls/transactional`. `typeorm-transactional` is seen through `dataSource.manager`, which
 * it replaces by a getter.
 */
export class ActiveTransaction {
  private readonly storage = new AsyncLocalStorage<Frame | undefined>();
  private readonly rootManager: EntityManager;
  private readonly watched = new WeakSet<EntityManager>();
  private unwrap: () => void = () => undefined;

  constructor(
    private readonly dataSource: DataSource,
    /** The `transaction` option: asks a transaction manager this library doesn't know. */
    private readonly custom?: () => EntityManager | undefined,
  ) {
    this.rootManager = dataSource.manager;
  }

  /**
   * The runner of the active transaction, in this order: the given manager; the `transaction`
   * option; the innermost `dataSource.transaction()`; typeorm-transactional. `undefined` outside.
   * A manager's runner is returned also where it has no open transaction, or not any more.
   *
   * @throws WrongDataSourceError for a manager of another DataSource
   * @throws EventTransactionEndedError if the transaction that was active here has ended
   */
  find(manager?: EntityManager): QueryRunner | undefined {
    const frame = this.storage.getStore();
    const given = manager ?? this.custom?.();
    if (given !== undefined) return this.ofManager(given, frame);
    const patched = this.dataSource.manager.queryRunner;
    if (frame === undefined) return patched;
    const runner = frame.manager.queryRunner;
    if (patched !== undefined && patched === runner) frame.followed = true;
    const moved = frame.followed && patched !== runner;
    // typeorm-transactional moved on to another one, or suspended it (Propagation.NOT_SUPPORTED).
    if (moved && (patched !== undefined || frame.open)) return patched;
    if (!frame.open) throw new EventTransactionEndedError();
    return runner;
  }

  /** Runs `work` as if no transaction were active around it. */
  outside<T>(work: () => T): T {
    return this.storage.run(undefined, work);
  }

  /** Starts to watch. Idempotent. */
  install(): void {
    if (!this.watched.has(this.rootManager)) this.unwrap = this.watch(this.rootManager);
  }

  uninstall(): void {
    this.unwrap();
    this.unwrap = () => undefined;
  }

  /** Wraps `transaction` of this one manager; returns what undoes it. */
  private watch(manager: EntityManager): () => void {
    this.watched.add(manager);
    const hadOwn = Object.hasOwn(manager, 'transaction');
    // oxlint-disable-next-line typescript/unbound-method -- it is applied to its manager below
    const original = manager.transaction as (...args: unknown[]) => Promise<unknown>;
    const follow = (callback: Callback) => this.follow(callback);
    const wrapped = function (this: EntityManager, ...args: unknown[]): Promise<unknown> {
      const followed = args.map((arg) =>
        typeof arg === 'function' ? follow(arg as Callback) : arg,
      );
      return original.apply(this, followed);
    };
    manager.transaction = wrapped;
    return () => {
      this.watched.delete(manager);
      // Somebody wrapped it after us: taking ours out would take theirs out too.
      if (manager.transaction !== wrapped) return;
      if (hadOwn) manager.transaction = original;
      else delete (manager as Partial<EntityManager>).transaction;
    };
  }

  private follow(callback: Callback): Callback {
    return (manager) => {
      // Transactions nested in this one end before it does: their late emits must not join it.
      if (!this.watched.has(manager)) this.watch(manager);
      const frame: Frame = { manager, open: true, followed: false };
      return this.storage.run(frame, async () => {
        try {
          const result = callback(manager);
          // typeorm-transactional sets its manager in the callback's first, synchronous part.
          frame.followed ||= this.dataSource.manager.queryRunner === manager.queryRunner;
          return await result;
        } finally {
          frame.open = false;
        }
      });
    };
  }

  private ofManager(manager: EntityManager, frame: Frame | undefined): QueryRunner | undefined {
    if (manager.dataSource !== this.dataSource) throw new WrongDataSourceError();
    const runner = manager.queryRunner;
    if (runner === undefined) return undefined;
    const ended = frame !== undefined && !frame.open && frame.manager.queryRunner === runner;
    if (ended || runner.isReleased) throw new EventTransactionEndedError();
    return runner;
  }
}
