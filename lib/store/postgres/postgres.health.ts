import type { DataSource } from 'typeorm';
import { execute, StoreConnection } from '../connection.js';
import { toFigures, type FiguresRow } from '../figures-row.js';
import type { Figures, HealthStore } from '../health-store.js';
import type { Tables } from '../tables.js';
import { readFigures, sortNothing } from './health.sql.js';

/** {@link HealthStore} on PostgreSQL. */
export class PostgresHealthStore implements HealthStore {
  private readonly connection: StoreConnection;

  constructor(
    dataSource: DataSource,
    private readonly tables: Tables,
    private readonly namespace: string,
  ) {
    this.connection = new StoreConnection(dataSource);
  }

  async figures(limit: number): Promise<Figures> {
    const statement = readFigures(this.tables, this.namespace, limit);
    const [row] = await this.connection.transaction(async (runner) => {
      await execute(runner, sortNothing());
      return execute<FiguresRow>(runner, statement);
    });
    if (row === undefined) throw new Error(`the row of namespace "${this.namespace}" is gone`);
    return toFigures(row);
  }
}
