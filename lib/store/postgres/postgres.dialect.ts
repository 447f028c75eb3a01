import { StoreConnection } from '../connection.js';
import type { Dialect } from '../dialect.js';
import { guardPools } from './pool-guard.js';
import { PostgresDeadLetterStore } from './postgres.dead-letters.js';
import { PostgresHealthStore } from './postgres.health.js';
import { PostgresLedger } from './postgres.ledger.js';
import { PostgresOperationStore } from './postgres.operations.js';
import { postgresSchema } from './postgres.schema.js';
import { PostgresEventStore } from './postgres.store.js';

export const postgres: Dialect = {
  schema: postgresSchema,
  earlier: (column, ms) => `(${column} - ${ms} * interval '1 millisecond')`,
  createStores(dataSource, tables, namespace) {
    guardPools(dataSource);
    const ledger = new PostgresLedger(new StoreConnection(dataSource), tables, namespace);
    return {
      events: new PostgresEventStore(dataSource, tables, namespace, ledger),
      deadLetters: new PostgresDeadLetterStore(dataSource, tables, namespace, ledger),
      operations: new PostgresOperationStore(dataSource, tables, namespace),
      health: new PostgresHealthStore(dataSource, tables, namespace),
    };
  },
};
