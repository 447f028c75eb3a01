import type { DataSource, QueryRunner } from 'typeorm';
import { nextBatch } from '../batch-cursor.js';
import { execute, StoreConnection } from '../connection.js';
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
import { subscribers, type StoredHandler } from '../handler-row.js';
import { redriveTargets } from '../redrive-targets.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import * as sql from './dead-letter-changes.sql.js';
import type { PostgresLedger } from './postgres.ledger.js';
import { countLost, listDeadLetters, readAttempts } from './dead-letters.sql.js';

/** {@link DeadLetterStore} on PostgreSQL. */
export class PostgresDeadLetterStore implements DeadLetterStore {
  private readonly connection: StoreConnection;

  constructor(
    dataSource: DataSource,
    private readonly tables: Tables,
    private readonly namespace: string,
    private readonly ledger: PostgresLedger,
  ) {
    this.connection = new StoreConnection(dataSource);
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
      return this.change(
        runner,
        sql.redriveDeadLetters(tables, namespace, operationId, criteria, targets, range),
        range,
      );
    });
  }

  async discard(
    operationId: number,
    criteria: DeadLetterCriteria,
    reason: string,
    range: BatchRange,
  ): Promise<ChangedBatch> {
    const { tables, namespace } = this;
    const batch = await this.connection.transaction((runner) =>
      this.change(
        runner,
        sql.discardDeadLetters(tables, namespace, operationId, criteria, reason, range),
        range,
      ),
    );
    if (batch.affected > 0) this.ledger.added();
    return batch;
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
      const batch = await this.change(
        runner,
        sql.buryWaiting(tables, namespace, operationId, gone, error, range),
        range,
      );
      if (batch.next !== undefined) return batch;
      const left = await execute(runner, sql.anyWaiting(tables, namespace, gone));
      return { ...batch, passedOver: left.length > 0 };
    });
  }

  private async holdTargets(runner: QueryRunner): Promise<Map<string, number>> {
    const statement = sql.holdHandlers(this.tables, this.namespace);
    const [row] = await execute<{ handlers: string }>(runner, statement);
    return redriveTargets(subscribers(JSON.parse(row?.handlers ?? '[]') as StoredHandler[]));
  }

  private async change(
    runner: QueryRunner,
    statement: Statement,
    range: BatchRange,
  ): Promise<ChangedBatch> {
    const [row] = await execute<sql.ChangeRow>(runner, statement);
    const last = row === undefined || row.since === null ? undefined : row;
    return {
      affected: Number(row?.affected ?? 0),
      next: nextBatch(last, Number(row?.picked ?? 0), range),
    };
  }
}
