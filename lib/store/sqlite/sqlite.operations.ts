import { toOperationRecord, type OperationRow } from '../operation-row.js';
import type { NewOperation, OperationRecord, OperationStore } from '../operation-store.js';
import type { Tables } from '../tables.js';
import * as sql from './operations.sql.js';
import type { SqliteConnection } from './sqlite.connection.js';

/** {@link OperationStore} on SQLite. */
export class SqliteOperationStore implements OperationStore {
  constructor(
    private readonly connection: SqliteConnection,
    private readonly tables: Tables,
    private readonly namespace: string,
  ) {}

  start(operation: NewOperation): Promise<number> {
    return this.connection.transaction((session) =>
      session.insert(sql.startOperation(this.tables, this.namespace, operation)),
    );
  }

  end(id: number): Promise<OperationRecord> {
    return this.connection.transaction((session) => {
      session.run(sql.endOperation(this.tables, this.namespace, id));
      const [row] = session.all<OperationRow>(sql.readOperation(this.tables, this.namespace, id));
      if (row === undefined) throw new Error(`operation ${id} was deleted while it ran`);
      return toOperationRecord(row);
    });
  }

  latest(limit: number): Promise<OperationRecord[]> {
    const statement = sql.latestOperations(this.tables, this.namespace, limit);
    return this.connection.transaction((session) =>
      session.all<OperationRow>(statement).map(toOperationRecord),
    );
  }
}
