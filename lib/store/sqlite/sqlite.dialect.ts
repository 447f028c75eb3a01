import type { Dialect } from '../dialect.js';
import { SqliteConnection } from './sqlite.connection.js';
import { SqliteDeadLetterStore } from './sqlite.dead-letters.js';
import { SqliteHealthStore } from './sqlite.health.js';
import { SqliteOperationStore } from './sqlite.operations.js';
import { sqliteSchema } from './sqlite.schema.js';
import { SqliteEventStore } from './sqlite.store.js';

/** SQLite by better-sqlite3, for tests: all that happens shares one connection. */
export const sqlite: Dialect = {
  testsOnly: true,
  schema: sqliteSchema,
  earlier: (column, ms) => `(${column} - ${Math.round(ms)})`,
  createStores(dataSource, tables, namespace) {
    const connection = new SqliteConnection(dataSource);
    return {
      events: new SqliteEventStore(connection, dataSource, tables, namespace),
      deadLetters: new SqliteDeadLetterStore(connection, tables, namespace),
      operations: new SqliteOperationStore(connection, tables, namespace),
      health: new SqliteHealthStore(connection, tables, namespace),
    };
  },
};
