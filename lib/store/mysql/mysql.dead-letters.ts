import type { DataSource, QueryRunner } from 'typeorm';
import { nextBatch, type BatchCursorRow } from '../batch-cursor.js';
import {
  toAttemptRecord,
  toDeadLetterRecord,
  type AttemptRow,
  type DeadLetterRow,
} from '../dead-letter-row.js';
import type {
  AttemptRecord,
  BatchRange,
  ChangedBatch,
  DeadLetterCriteria,
  DeadLetterKey,
  DeadLetterRecord,
  DeadLetterStore,
} from '../dead-letter-store.js';
import { subscribers, toStoredHandler, type StoredHandlerRow } from '../handler-row.js';
import { compareKeys } from '../lock-order.js';
import { redriveTargets } from '../redrive-targets.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import * as batches from './dead-letter-batches.sql.js';
import * as changes from './dead-letter-changes.sql.js';
import { countLost, listDeadLetters, readAttempts } from './dead-letters.sql.js';
import { addToLedger } from './ledger.sql.js';
import { execute, MysqlConnection } from './mysql.connection.js';
import { countAffected } from './operations.sql.js';

/** {@link DeadLetterStore} on MySQL and MariaDB. */
export class MysqlDeadLetterStore implements DeadLetterStore {
  private readonly connection: MysqlConnection;

  constructor(
    dataSource: DataSource,
    private readonly tables: Tables,
    private readonly namespace: string,
  ) {
    this.connection = new MysqlConnection(dataSource);
  }

  async list(
    criteria: DeadLetterCriteria,
    limit: number,
    after?: DeadLetterKey,
  ): Promise<DeadLetterRecord[]> {
    const statement = listDeadLetters(this.tables, this.namespace, criteria, limit, after);
    return (await this.connection.query<DeadLetterRow>(statement)).map(toDeadLetterRecord);
  }

  async attempts(position: number, handler: string): Promise<AttemptRecord[]> {
    const statement = readAttempts(this.tables, this.namespace, position, handler);
    return (await this.connection.query<AttemptRow>(statement)).map(toAttemptRecord);
  }

  async countLost(criteria: DeadLetterCriteria): Promise<number> {
    const statement = countLost(this.tables, this.namespace, criteria);
    const [row] = await this.connection.query<{ lost: string }>(statement);
    return Number(row?.lost);
  }

  redrive(
    operationId: number,
    criteria: DeadLetterCriteria,
    range: BatchRange,
  ): Promise<ChangedBatch> {
    const { tables, namespace } = this;
    return this.connection.transaction(async (runner) => {
      const targets = await this.holdTargets(runner);
      const handlers = [...targets.keys()];
      if (handlers.length === 0) return { affected: 0, next: undefined };
      return this.change(runner, range, {
        operationId,
        find: batches.findDeadLetters(tables, namespace, operationId, criteria, handlers, range),
        lock: changes.lockDead,
        apply: (locked) => [changes.redriveLocked(tables, namespace, locked, targets)],
      });
    });
  }

  discard(
    operationId: number,
    criteria: DeadLetterCriteria,
    reason: string,
    range: BatchRange,
  ): Promise<ChangedBatch> {
    const { tables, namespace } = this;
    return this.connection.transaction((runner) =>
      this.change(runner, range, {
        operationId,
        find: batches.findDeadLetters(tables, namespace, operationId, criteria, undefined, range),
        lock: changes.lockDead,
        apply: (locked) => [
          changes.discardLocked(tables, namespace, locked, reason),
          addToLedger(tables, namespace, 'discarded', locked.length),
        ],
      }),
    );
  }

  bury(
    operationId: number,
    handlers: readonly string[],
    error: string,
    range: BatchRange,
  ): Promise<ChangedBatch> {
    const { tables, namespace } = this;
    return this.connection.transaction(async (runner) => {
      const targets = await this.holdTargets(runner);
      const gone = handlers.filter((handler) => !targets.has(handler));
      if (gone.length === 0) return { affected: 0, next: undefined };
      const batch = await this.change(runner, range, {
        operationId,
        find: batches.findWaiting(tables, namespace, gone, range),
        lock: changes.lockWaiting,
        apply: (locked) => [changes.buryLocked(tables, namespace, locked, error)],
      });
      if (batch.next !== undefined) return batch;
      const left = batches.findWaiting(tables, namespace, gone, { limit: 1 });
      return { ...batch, passedOver: (await execute(runner, left)).length > 0 };
    });
  }

  private async holdTargets(runner: QueryRunner): Promise<Map<string, number>> {
    const statement = batches.holdHandlers(this.tables, this.namespace);
    const rows = await execute<StoredHandlerRow & { active: unknown }>(runner, statement);
    const active = rows.filter((row) => Number(row.active) === 1);
    return redriveTargets(subscribers(active.map(toStoredHandler)));
  }

  /** Finds first, and locks then by primary key: a search that locks would lock the log as well. */
  private async change(
    runner: QueryRunner,
    range: BatchRange,
    { operationId, find, lock, apply }: Change,
  ): Promise<ChangedBatch> {
    const { tables, namespace } = this;
    const found = await execute<BatchCursorRow>(runner, find);
    if (found.length === 0) return { affected: 0, next: undefined };
    // In the order of completions and of other operations: none waits for one that waits for it.
    const keys = found.map(toKey).toSorted(compareKeys);
    const locked = (await execute<BatchCursorRow>(runner, lock(tables, namespace, keys))).map(
      toKey,
    );
    if (locked.length > 0) {
      for (const statement of apply(locked)) await execute(runner, statement);
      await execute(runner, countAffected(tables, operationId, locked.length));
    }
    // Some may have been changed by another operation between the two.
    return { affected: locked.length, next: nextBatch(found.at(-1), found.length, range) };
  }
}

/** A batch of an operation: what to look for, how to lock it, and what to do with it. */
interface Change {
  readonly operationId: number;
  readonly find: Statement;
  readonly lock: typeof changes.lockDead;
  readonly apply: (locked: readonly changes.DeliveryKey[]) => readonly Statement[];
}

function toKey({ position, handler }: BatchCursorRow): changes.DeliveryKey {
  return { position: Number(position), handler };
}
