import { toFigures, type FiguresRow } from '../figures-row.js';
import type { Figures, HealthStore } from '../health-store.js';
import type { Tables } from '../tables.js';
import { readFigures } from './health.sql.js';
import type { SqliteConnection } from './sqlite.connection.js';

/** {@link HealthStore} on SQLite. */
export class SqliteHealthStore implements HealthStore {
  constructor(
    private readonly connection: SqliteConnection,
    private readonly tables: Tables,
    private readonly namespace: string,
  ) {}

  figures(limit: number): Promise<Figures> {
    const statement = readFigures(this.tables, this.namespace, limit);
    return this.connection.transaction((session) => {
      const [row] = session.all<FiguresRow>(statement);
      if (row === undefined) throw new Error(`the row of namespace "${this.namespace}" is gone`);
      return toFigures(row);
    });
  }
}
