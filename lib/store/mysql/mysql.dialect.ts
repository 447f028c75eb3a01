import type { Dialect } from '../dialect.js';
import { MysqlDeadLetterStore } from './mysql.dead-letters.js';
import { MysqlHealthStore } from './mysql.health.js';
import { MysqlOperationStore } from './mysql.operations.js';
import { mysqlSchema } from './mysql.schema.js';
import { MysqlEventStore } from './mysql.store.js';
import { guardConnections } from './pool-guard.js';

/** MySQL 8.0.17 or newer, and MariaDB 10.6 or newer: what they differ in, the store does without. */
export const mysql: Dialect = {
  schema: mysqlSchema,
  earlier: (column, ms) => `(${column} - INTERVAL ${Math.round(ms * 1_000)} MICROSECOND)`,
  createStores(dataSource, tables, namespace) {
    guardConnections(dataSource);
    return {
      events: new MysqlEventStore(dataSource, tables, namespace),
      deadLetters: new MysqlDeadLetterStore(dataSource, tables, namespace),
      operations: new MysqlOperationStore(dataSource, tables, namespace),
      health: new MysqlHealthStore(dataSource, tables, namespace),
    };
  },
};
