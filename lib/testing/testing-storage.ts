import type { DataSource } from 'typeorm';
import { subscribe } from '../events.wiring.js';
import type { ResolvedOptions } from '../resolve-options.js';
import { bringForward } from '../store/bring-forward.js';
import { createStores } from '../store/create-store.js';
import { memoryStoresOn } from '../store/memory/create-memory-stores.js';
import { MemoryData } from '../store/memory/memory.data.js';
import { migrateAtBoot } from '../store/migrations/boot-migration.js';
import type { Stores } from '../store/store.js';
import { dialectOf, quoterOf } from '../store/supported-databases.js';
import { tableNames } from '../store/tables.js';
import { TransactionJoin } from './join/transaction-join.js';
import type { MemoryDataSource } from './memory/memory.data-source.js';
import { makeUndoable } from './memory/undoable-store.js';
import { EmittedEvents } from './record/emitted-events.js';

/** Where a test's events are. */
export interface TestingStorageParts {
  readonly dataSource: DataSource;
  readonly stores: Stores;
  readonly join: TransactionJoin;
  readonly emitted: EmittedEvents;
  /** Brings everything that waits for a time nearer. */
  advance(ms: number): Promise<void>;
  /** Deletes everything of the namespace. */
  clear(): Promise<void>;
  /** Lets go of the DataSource. */
  close(): void;
}

/** In the database of a DataSource. Its tables are made where they are missing. */
export async function openDatabase(
  options: ResolvedOptions,
  dataSource: DataSource,
): Promise<TestingStorageParts> {
  const stores = createStores(dataSource, options, 'tests');
  await migrateAtBoot(dataSource, options.tables, options.migrate);
  const tables = tableNames(options.tables, quoterOf(dataSource));
  const dialect = dialectOf(dataSource.options.type);
  const { prefix: _prefix, schema: _schema, migrations: _migrations, ...ofNamespace } = tables;
  const { namespace } = options;
  const run = async (statements: readonly string[]) => {
    for (const statement of statements) await dataSource.query(statement);
  };
  return {
    ...watch(dataSource, stores, new TransactionJoin(dataSource)),
    advance: (ms) => run(bringForward(dialect, tables, namespace, ms)),
    clear: async () => {
      const deletes = Object.values(ofNamespace).map(
        // A plain word, as checked by the options.
        (table) => `DELETE FROM ${table} WHERE namespace = '${namespace}'`,
      );
      await run(deletes);
    },
  };
}

/** In the memory of this process. */
export function openMemory(
  { namespace }: ResolvedOptions,
  dataSource: MemoryDataSource,
): TestingStorageParts {
  const data = new MemoryData(() => Date.now());
  const stores = memoryStoresOn(data, namespace);
  const join = new TransactionJoin(dataSource);
  makeUndoable(stores.events, data, (runner) => dataSource.logOf(runner, join));
  return {
    ...watch(dataSource, stores, join),
    advance: async (ms) => stores.advance(ms),
    clear: async () => data.clear(),
  };
}

function watch(dataSource: DataSource, stores: Stores, join: TransactionJoin) {
  const emitted = new EmittedEvents(join);
  emitted.watch(stores.events);
  const leave = join.install();
  const unsubscribe = subscribe(dataSource, emitted);
  const close = () => {
    leave();
    unsubscribe();
  };
  return { dataSource, stores, join, emitted, close };
}
