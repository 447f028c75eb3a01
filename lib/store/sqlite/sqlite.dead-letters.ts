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
import { redriveTargets } from '../redrive-targets.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import * as changes from './dead-letter-changes.sql.js';
import * as letters from './dead-letters.sql.js';
import { readHandlers } from './handlers.sql.js';
import { addToLedger } from './ledger.sql.js';
import { countAffected } from './operations.sql.js';
import type { Session, SqliteConnection } from './sqlite.connection.js';

/** {@link DeadLetterStore} on SQLite. */
export class SqliteDeadLetterStore implements DeadLetterStore {
  constructor(
    private readonly connection: SqliteConnection,
    private readonly tables: Tables,
    private readonly namespace: string,
  ) {}

  list(
    criteria: DeadLetterCriteria,
    limit: number,
    after?: DeadLetterKey,
  ): Promise<DeadLetterRecord[]> {
    const statement = letters.listDeadLetters(this.tables, this.namespace, criteria, limit, after);
    return this.connection.transaction((session) =>
      session.all<DeadLetterRow>(statement).map(toDeadLetterRecord),
    );
  }

  attempts(position: number, handler: string): Promise<AttemptRecord[]> {
    const statement = letters.readAttempts(this.tables, this.namespace, position, handler);
    return this.connection.transaction((session) =>
      session.all<AttemptRow>(statement).map(toAttemptRecord),
    );
  }

  countLost(criteria: DeadLetterCriteria): Promise<number> {
    const statement = letters.countLost(this.tables, this.namespace, criteria);
    return this.connection.transaction((session) =>
      Number(session.all<{ lost: string }>(statement)[0]?.lost),
    );
  }

  redrive(
    operationId: number,
    criteria: DeadLetterCriteria,
    range: BatchRange,
  ): Promise<ChangedBatch> {
    const { tables, namespace } = this;
    return this.connection.transaction((session) => {
      const targets = this.targets(session);
      const handlers = [...targets.keys()];
      return this.change(session, range, operationId, {
        find: letters.findDeadLetters(tables, namespace, operationId, criteria, handlers, range),
        apply: (key) => changes.redrive(tables, namespace, key, targets.get(key.handler) ?? 1),
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
    return this.connection.transaction((session) => {
      const batch = this.change(session, range, operationId, {
        find: letters.findDeadLetters(tables, namespace, operationId, criteria, undefined, range),
        apply: (key) => changes.discard(tables, namespace, key, reason),
      });
      session.run(addToLedger(tables, namespace, { discarded: batch.affected }));
      return batch;
    });
  }

  bury(
    operationId: number,
    handlers: readonly string[],
    error: string,
    range: BatchRange,
  ): Promise<ChangedBatch> {
    const { tables, namespace } = this;
    return this.connection.transaction((session) => {
      const targets = this.targets(session);
      const gone = handlers.filter((handler) => !targets.has(handler));
      if (gone.length === 0) return { affected: 0, next: undefined };
      const batch = this.change(session, range, operationId, {
        find: letters.findWaiting(tables, namespace, gone, range),
        apply: (key) => changes.bury(tables, namespace, key, error),
      });
      // Nobody locks a single row here.
      return batch.next === undefined ? { ...batch, passedOver: false } : batch;
    });
  }

  private targets(session: Session): Map<string, number> {
    const rows = session.all<StoredHandlerRow>(readHandlers(this.tables, this.namespace));
    return redriveTargets(subscribers(rows.map(toStoredHandler)));
  }

  private change(
    session: Session,
    range: BatchRange,
    operationId: number,
    { find, apply }: { find: Statement; apply: (key: changes.DeliveryKey) => Statement },
  ): ChangedBatch {
    const found = session.all<BatchCursorRow>(find);
    for (const { position, handler } of found) {
      session.run(apply({ position: Number(position), handler }));
    }
    session.run(countAffected(this.tables, operationId, found.length));
    return { affected: found.length, next: nextBatch(found.at(-1), found.length, range) };
  }
}
