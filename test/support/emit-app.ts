import type { EventsModuleOptions } from 'nestjs-durable-events';
import {
  Column,
  Entity,
  PrimaryColumn,
  type DataSource,
  type DataSourceOptions,
  type EntityManager,
  type Logger,
  type QueryRunner,
} from 'typeorm';
import { onPostgres } from './database.js';
import { startTestApp, type TestApp, type TestAppOptions } from './test-app.js';

/** The application's own entity. */
@Entity('orders')
export class Order {
  @PrimaryColumn('varchar', { length: 200 })
  id!: string;

  @Column('integer', { default: 0 })
  total!: number;
}

/** A row of the outbox, its JSON parsed. */
export interface OutboxRow {
  readonly seq: string;
  readonly namespace: string;
  readonly event_id: string;
  readonly name: string;
  readonly version: number;
  readonly category: string;
  readonly data: unknown;
  readonly metadata: unknown;
  readonly key: string | null;
  readonly entity_type: string | null;
  readonly entity_id: string | null;
  readonly entity_version: number | null;
  readonly actor_type: string | null;
  readonly actor_id: string | null;
  readonly causation_id: string | null;
  readonly correlation_id: string | null;
  readonly occurred_at: Date;
  readonly scheduled_at: Date | null;
}

export interface EmitApp extends TestApp {
  /** What is committed in the outbox, in the order of emission. */
  outbox(): Promise<OutboxRow[]>;
  /** Data of what is committed in the outbox. */
  emitted(): Promise<unknown[]>;
  /** Committed rows of the business's own table. */
  orders(): Promise<string[]>;
  /** Empties outbox, idempotency keys and orders. */
  clear(): Promise<void>;
}

/** An application that only emits: what it commits stays in the outbox, to be looked at. */
export async function startEmitApp(
  url: string,
  { events, ...options }: Omit<TestAppOptions, 'url'> = {},
): Promise<EmitApp> {
  const dataSource = { entities: [Order], ...options.dataSource } as Partial<DataSourceOptions>;
  const app = await startTestApp({ ...options, url, events: emitOnly(events), dataSource });
  return toEmitApp(app);
}

/** Options of a process that only emits. */
export function emitOnly(events?: EventsModuleOptions): EventsModuleOptions {
  return { relay: { enabled: false }, workers: { enabled: false }, ...events };
}

export async function toEmitApp(app: TestApp): Promise<EmitApp> {
  await app.dataSource.query(
    `CREATE TABLE IF NOT EXISTS orders (id varchar(200) PRIMARY KEY,
      total integer NOT NULL DEFAULT 0)`,
  );
  return {
    ...app,
    outbox: () => readOutbox(app.dataSource),
    emitted: async () => (await readOutbox(app.dataSource)).map(({ data }) => data),
    orders: async () => {
      const rows = await app.dataSource.query<{ id: string }[]>(
        'SELECT id FROM orders ORDER BY id',
      );
      return rows.map(({ id }) => id);
    },
    clear: async () => {
      for (const table of ['events_outbox', 'events_idempotency', 'orders']) {
        await app.dataSource.query(`DELETE FROM ${table}`);
      }
    },
  };
}

async function readOutbox(dataSource: DataSource): Promise<OutboxRow[]> {
  const rows = await dataSource.query<OutboxRow[]>('SELECT * FROM events_outbox ORDER BY seq');
  // MariaDB keeps JSON as text.
  const parse = (json: unknown) =>
    onPostgres || json === null ? json : (JSON.parse(json as string) as unknown);
  return rows.map((row) => ({ ...row, data: parse(row.data), metadata: parse(row.metadata) }));
}

/** Saves an order through a manager or runner, as the application's own write. */
export async function saveOrder(
  through: Pick<EntityManager, 'sql'> | QueryRunner,
  id: string,
): Promise<void> {
  await through.sql`INSERT INTO orders (id) VALUES (${id})`;
}

/** Drops everything in a database, so that it is like a new one, but sooner there. */
export async function emptyDatabase(dataSource: DataSource): Promise<void> {
  if (!onPostgres) return emptyOnMariadb(dataSource);
  const schemas = await dataSource.query<{ name: string }[]>(
    `SELECT quote_ident(nspname) AS name FROM pg_namespace
      WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'`,
  );
  for (const { name } of schemas) await dataSource.query(`DROP SCHEMA ${name} CASCADE`);
  await dataSource.query('CREATE SCHEMA public');
}

/** Its tables, and the databases that begin with its name: schemas of the library's own there. */
async function emptyOnMariadb(dataSource: DataSource): Promise<void> {
  const own = await dataSource.query<Record<string, string>[]>('SHOW TABLES');
  for (const [table] of own.map((row) => Object.values(row))) {
    await dataSource.query(`DROP TABLE ${table}`);
  }
  const like = `${String(dataSource.driver.database)}\\_%`;
  const databases = await dataSource.sql<Record<string, string>[]>`SHOW DATABASES LIKE ${like}`;
  for (const [database] of databases.map((row) => Object.values(row))) {
    await dataSource.query(`DROP DATABASE ${database}`);
  }
}

/** Records every statement that TypeORM sends. Give it to the DataSource as its logger. */
export class QueryRecorder implements Logger {
  readonly queries: string[] = [];
  private only: QueryRunner | undefined;

  /** As options of a DataSource. */
  get options(): Partial<DataSourceOptions> {
    return { logger: this, logging: true };
  }

  /** From now on; only what is sent through the runner, if one is given. */
  start(only?: QueryRunner): void {
    this.queries.length = 0;
    this.only = only;
  }

  matching(pattern: RegExp): string[] {
    return this.queries.filter((query) => pattern.test(query));
  }

  logQuery(query: string, _parameters?: unknown[], runner?: QueryRunner): void {
    if (this.only === undefined || runner === this.only) this.queries.push(query);
  }
  logQueryError(): void {}
  logQuerySlow(): void {}
  logSchemaBuild(): void {}
  logMigration(): void {}
  log(): void {}
}
