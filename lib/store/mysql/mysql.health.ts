import type { DataSource } from 'typeorm';
import { toFigures, type FiguresRow } from '../figures-row.js';
import type { Figures, HealthStore } from '../health-store.js';
import type { Tables } from '../tables.js';
import { readFigures } from './health.sql.js';
import { MysqlConnection } from './mysql.connection.js';

/** {@link HealthStore} on MySQL and MariaDB. */
export class MysqlHealthStore implements HealthStore {
  private readonly connection: MysqlConnection;

  constructor(
    dataSource: DataSource,
    private readonly tables: Tables,
    private readonly namespace: string,
  ) {
    this.connection = new MysqlConnection(dataSource);
  }

  async figures(limit: number): Promise<Figures> {
    const statement = readFigures(this.tables, this.namespace, limit);
    const [row] = await this.connection.query<FiguresRow>(statement);
    if (row === undefined) throw new Error(`the row of namespace "${this.namespace}" is gone`);
    return toFigures(row);
  }
}
