import type { DataSource } from 'typeorm';
import { bringForward } from '../../lib/store/bring-forward.js';
import { createStores } from '../../lib/store/create-store.js';
import { DEFAULT_TABLES, eventsMigrator } from '../../lib/store/migrations/migrator.js';
import { dialectOf, quoterOf } from '../../lib/store/supported-databases.js';
import { tableNames } from '../../lib/store/tables.js';
import type { Cell, Connections, ContractDatabase, Match, RowAccess, Table } from './harness.js';

/** How a database writes what the suite needs beside the SQL that all of them understand. */
export interface SqlWords {
  /** A time column as ISO 8601 in UTC with milliseconds, whatever the session's time zone. */
  readonly iso: (column: string) => string;
  /** The time so long ago, in the type and zone of the time columns. */
  readonly ago: (ms: number) => string;
  /** The time that ISO 8601 text in UTC names. */
  readonly at: (iso: string) => string;
  readonly drop: () => Promise<void>;
}

/**
 * A database with the library's tables.
 *
 * @param dataSource the suite's own; it is destroyed before `words.drop`
 */
export async function sqlDatabase(
  dataSource: DataSource,
  words: SqlWords,
  connections?: Connections,
): Promise<ContractDatabase> {
  const runner = dataSource.createQueryRunner();
  await eventsMigrator.up(runner);
  await runner.release();
  return {
    stores: (namespace, own = dataSource) =>
      createStores(own, { namespace, tables: DEFAULT_TABLES }, 'tests'),
    advance: async (namespace, ms) => {
      const tables = tableNames(DEFAULT_TABLES, quoterOf(dataSource));
      const dialect = dialectOf(dataSource.options.type);
      for (const sql of bringForward(dialect, tables, namespace, ms)) await dataSource.query(sql);
    },
    rows: new SqlRows(dataSource, words),
    sql: connections === undefined ? { dataSource } : { dataSource, connections },
    drop: async () => {
      await dataSource.destroy();
      await words.drop();
    },
  };
}

const KEYS: Readonly<Record<Table, string>> = {
  outbox: 'seq',
  log: 'position',
  deliveries: 'position, handler',
  handlers: 'id',
  relay: 'namespace',
};

class SqlRows implements RowAccess {
  constructor(
    private readonly dataSource: DataSource,
    private readonly words: SqlWords,
  ) {}

  async select<Column extends string>(
    table: Table,
    namespace: string,
    columns: readonly Column[],
  ): Promise<Record<Column, string | null>[]> {
    const list = columns.map((name) =>
      name.endsWith('_at') ? `${this.words.iso(`t.${name}`)} AS ${name}` : `t.${name}`,
    );
    const rows = await this.dataSource.query<Record<Column, unknown>[]>(
      `SELECT ${list.join(', ')} FROM events_${table} AS t WHERE namespace = '${namespace}'
        ORDER BY ${KEYS[table]}`,
    );
    return rows.map((row) => {
      const texts = columns.map((name) => [name, asText(row[name])]);
      return Object.fromEntries(texts) as Record<Column, string | null>;
    });
  }

  async update(
    table: Table,
    namespace: string,
    cells: Readonly<Record<string, Cell>>,
    match: Match = {},
  ): Promise<void> {
    const set = Object.entries(cells).map(([name, cell]) => `${name} = ${this.literal(cell)}`);
    await this.dataSource.query(
      `UPDATE events_${table} SET ${set.join(', ')} WHERE ${this.where(namespace, match)}`,
    );
  }

  async remove(table: Table, namespace: string, match: Match = {}): Promise<void> {
    await this.dataSource.query(
      `DELETE FROM events_${table} WHERE ${this.where(namespace, match)}`,
    );
  }

  async now(): Promise<number> {
    const { iso, ago } = this.words;
    const [row] = await this.dataSource.query<{ now: string }[]>(`SELECT ${iso(ago(0))} AS now`);
    return Date.parse(row!.now);
  }

  private where(namespace: string, match: Match): string {
    const conditions = Object.entries(match).map(([name, value]) =>
      typeof value === 'object'
        ? `${name} IN (${value.join(', ')})`
        : `${name} = ${this.literal(value)}`,
    );
    return [`namespace = '${namespace}'`, ...conditions].join(' AND ');
  }

  private literal(cell: Cell): string {
    if (cell === null) return 'NULL';
    if (typeof cell !== 'object') return typeof cell === 'number' ? `${cell}` : `'${cell}'`;
    return 'at' in cell ? this.words.at(cell.at) : this.words.ago(cell.agoMs);
  }
}

/** Drivers disagree about numbers and JSON. */
function asText(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (typeof value === 'object' && !Buffer.isBuffer(value)) return JSON.stringify(value);
  // oxlint-disable-next-line typescript/no-base-to-string -- a number, a text or bytes of a text
  return String(value);
}
