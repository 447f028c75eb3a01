import type { QueryRunner } from 'typeorm';
import type { TransactionDamage, TransactionWatch } from '../store/store.js';
import { depthOf } from './transaction-depth.js';

export interface Damage {
  /** `undone`: by the server, at an error; `ended`: by a statement, with all that was written before. */
  readonly kind: 'undone' | 'ended';
  /** Nothing is left of the transaction; the server goes on without one. */
  readonly whole: boolean;
  /** A rollback of this level (1: the outermost) makes it good. */
  readonly depth: number;
}

/**
 * Remembers, on databases that go on as if nothing had happened, in which open transactions a
 * statement took others with it, was undone by the server (failure modes A2, A3), or has committed
 * them, and in which an emit failed. Also of those in which nothing has been emitted yet: their next
 * statements would be committed alone.
 */
export class DamagedTransactions {
  private readonly damages = new WeakMap<QueryRunner, Damage>();
  /** In whose transaction the server was heard to be when it began: its answers can be relied on. */
  private readonly told = new WeakSet<QueryRunner>();
  /** Whose last statement may have ended the transaction; its answer does not tell. */
  private readonly doubtful = new WeakSet<QueryRunner>();
  private readonly committedEarly = new WeakSet<QueryRunner>();

  constructor(private readonly watch: TransactionWatch) {}

  of(runner: QueryRunner): Damage | undefined {
    return this.damages.get(runner);
  }

  /** Whether only the server knows if the transaction is still open. Asked something, it tells. */
  isDoubtful(runner: QueryRunner): boolean {
    return this.doubtful.has(runner);
  }

  /** Whether the runner's last transaction was committed before its end. */
  wasCommittedEarly(runner: QueryRunner): boolean {
    return this.committedEarly.has(runner);
  }

  /** A statement of the runner's failed. */
  failed(runner: QueryRunner, text: string, error: unknown): void {
    const damage = this.watch.damageOf(error, text);
    // An error's answer holds no state, and CREATE TABLE commits before it fails.
    if (this.told.has(runner)) this.doubtful.add(runner);
    if (damage !== undefined) this.undone(runner, damage);
  }

  /**
   * An emit's write failed, for whatever reason: the transaction has no event, or a part of several,
   * and may have a claimed key, which would make the next try a duplicate of nothing.
   */
  emitFailed(runner: QueryRunner): void {
    this.undone(runner, 'statement');
  }

  /** A statement of the runner's succeeded, other than its own commit or rollback. */
  answered(runner: QueryRunner, text: string, answer: unknown): void {
    if (depthOf(runner) === 0) {
      const opened = this.watch.stateAfter(answer, undefined) === 'open';
      if (opened) this.told.add(runner);
      else this.told.delete(runner);
      return;
    }
    if (!this.told.has(runner)) return;
    const state = this.watch.stateAfter(answer, text);
    if (state === undefined) return;
    if (state === 'unknown') this.doubtful.add(runner);
    else this.doubtful.delete(runner);
    // After an error that undid all of it, the server is in no transaction either.
    if (state === 'committed' && this.damages.get(runner)?.whole !== true) {
      this.committedEarly.add(runner);
    }
    if (state === 'committed' || state === 'rolled back') {
      const before = this.damages.get(runner);
      const kind = before?.whole === true ? before.kind : 'ended';
      this.damages.set(runner, { kind, whole: true, depth: 1 });
    }
  }

  started(runner: QueryRunner): void {
    if (depthOf(runner) > 1) return;
    this.damages.delete(runner);
    this.doubtful.delete(runner);
    this.committedEarly.delete(runner);
  }

  /** A transaction or savepoint of the runner's was rolled back. */
  rolledBack(runner: QueryRunner): void {
    const damage = this.damages.get(runner);
    if (damage !== undefined && damage.depth > depthOf(runner)) this.damages.delete(runner);
  }

  /** A transaction was committed or a savepoint released: what was wrong in it is the outer one's. */
  committed(runner: QueryRunner): void {
    const damage = this.damages.get(runner);
    const depth = depthOf(runner);
    if (depth === 0) this.damages.delete(runner);
    else if (damage !== undefined && damage.depth > depth) {
      this.damages.set(runner, { ...damage, depth });
    }
  }

  private undone(runner: QueryRunner, damage: TransactionDamage): void {
    if (!runner.isTransactionActive) return;
    const before = this.damages.get(runner);
    if (before?.kind === 'ended') return;
    const whole = damage === 'transaction' || before?.whole === true;
    const depth = whole ? 1 : Math.min(depthOf(runner), before?.depth ?? Infinity);
    this.damages.set(runner, { kind: 'undone', whole, depth });
  }
}
