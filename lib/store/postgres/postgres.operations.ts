import type { DataSource } from 'typeorm';
import { StoreConnection } from '../connection.js';
import { toOperationRecord, type OperationRow } from '../operation-row.js';
import type { NewOperation, OperationRecord, OperationStore } from '../operation-store.js';
import type { Tables } from '../tables.js';
import * as sql from './operations.sql.js';

/** {@link OperationStore} on PostgreSQL. */
export class PostgresOperationStore implements OperationStore {
  private readonly connection: StoreConnection;

  constructor(
    dataSource: DataSource,
    private readonly tables: Tables,
    private readonly namespace: string,
  ) {
    this.connection = new StoreConnection(dataSource);
  }

  async start(operation: NewOperation): Promise<number> {
    const statement = sql.startOperation(this.tables, this.namespace, operation);
    const [row] = await this.connection.query<{ id: string }>(statement);
    return Number(row?.id);
  }

  async end(id: number): Promise<OperationRecord> {
    const statement = sql.endOperation(this.tables, this.namespace, id);
    const [row] = await this.connection.query<OperationRow>(statement);
    if (row === undefined) throw new Error(`operation ${id} was deleted while it ran`);
    return toOperationRecord(row);
  }

  async latest(limit: number): Promise<OperationRecord[]> {
    const statement = sql.latestOperations(this.tables, this.namespace, limit);
    return (await this.connection.query<OperationRow>(statement)).map(toOperationRecord);
  }
}
