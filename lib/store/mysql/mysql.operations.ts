import type { DataSource } from 'typeorm';
import { toOperationRecord, type OperationRow } from '../operation-row.js';
import type { NewOperation, OperationRecord, OperationStore } from '../operation-store.js';
import type { Tables } from '../tables.js';
import { execute, MysqlConnection } from './mysql.connection.js';
import * as sql from './operations.sql.js';

/** {@link OperationStore} on MySQL and MariaDB. */
export class MysqlOperationStore implements OperationStore {
  private readonly connection: MysqlConnection;

  constructor(
    dataSource: DataSource,
    private readonly tables: Tables,
    private readonly namespace: string,
  ) {
    this.connection = new MysqlConnection(dataSource);
  }

  start(operation: NewOperation): Promise<number> {
    return this.connection.transaction(async (runner) => {
      await execute(runner, sql.startOperation(this.tables, this.namespace, operation));
      const [row] = await execute<{ id: string }>(runner, sql.lastId());
      return Number(row?.id);
    });
  }

  end(id: number): Promise<OperationRecord> {
    return this.connection.transaction(async (runner) => {
      await execute(runner, sql.endOperation(this.tables, this.namespace, id));
      const statement = sql.readOperation(this.tables, this.namespace, id);
      const [row] = await execute<OperationRow>(runner, statement);
      if (row === undefined) throw new Error(`operation ${id} was deleted while it ran`);
      return toOperationRecord(row);
    });
  }

  async latest(limit: number): Promise<OperationRecord[]> {
    const statement = sql.latestOperations(this.tables, this.namespace, limit);
    return (await this.connection.query<OperationRow>(statement)).map(toOperationRecord);
  }
}
