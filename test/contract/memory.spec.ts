import { memoryStoresOn } from '../../lib/store/memory/create-memory-stores.js';
import { MemoryData } from '../../lib/store/memory/memory.data.js';
import { describeStoreContract } from './describe-store-contract.js';
import type { Cell, ContractDatabase, Match, RowAccess, Table } from './harness.js';

type Row = Record<string, unknown>;

/** The namespaces of one "database". */
class Namespaces {
  private readonly all = new Map<string, MemoryData>();

  data(namespace: string): MemoryData {
    const data = this.all.get(namespace) ?? new MemoryData(() => Date.now());
    this.all.set(namespace, data);
    return data;
  }
}

class MemoryRows implements RowAccess {
  constructor(private readonly namespaces: Namespaces) {}

  async select<Column extends string>(
    table: Table,
    namespace: string,
    columns: readonly Column[],
  ): Promise<Record<Column, string | null>[]> {
    return rowsOf(this.namespaces.data(namespace), table).map((row) => {
      const texts = columns.map((column) => [
        column,
        toText(column, row[toField(column)] as string | null),
      ]);
      return Object.fromEntries(texts) as Record<Column, string | null>;
    });
  }

  async update(
    table: Table,
    namespace: string,
    cells: Readonly<Record<string, Cell>>,
    match: Match = {},
  ): Promise<void> {
    for (const row of matching(this.namespaces.data(namespace), table, match)) {
      for (const [column, cell] of Object.entries(cells)) row[toField(column)] = toValue(cell);
    }
  }

  async remove(table: Table, namespace: string, match: Match = {}): Promise<void> {
    const data = this.namespaces.data(namespace);
    if (table === 'relay') data.relay = undefined;
    for (const row of matching(data, table, match)) {
      if (table === 'deliveries') data.removeDelivery(row as never);
      else if (table === 'handlers') data.handlers.delete(row.id as string);
      else if (table === 'log') data.log.delete(row.position as number);
      else data.outbox.delete(row.seq as number);
    }
  }

  async now(): Promise<number> {
    return Date.now();
  }
}

/** The very rows of the store, in the order of their keys. */
function rowsOf(data: MemoryData, table: Table): Row[] {
  const rows = {
    outbox: () => [...data.outbox.values()],
    log: () => [...data.log.values()],
    deliveries: () => [...data.log.keys()].flatMap((position) => data.deliveriesOf(position)),
    handlers: () => [...data.handlers.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    relay: () => (data.relay === undefined ? [] : [data.relay]),
  };
  return rows[table]() as unknown as Row[];
}

function matching(data: MemoryData, table: Table, match: Match): Row[] {
  return rowsOf(data, table).filter((row) =>
    Object.entries(match).every(([column, wanted]) => {
      const value = row[toField(column)];
      return typeof wanted === 'object' ? wanted.includes(value as number) : value === wanted;
    }),
  );
}

function toField(column: string): string {
  return column.replaceAll(/_(\w)/g, (_match, letter: string) => letter.toUpperCase());
}

function toValue(cell: Cell): string | number | null {
  if (cell === null || typeof cell !== 'object') return cell;
  return 'at' in cell ? Date.parse(cell.at) : Date.now() - cell.agoMs;
}

function toText(column: string, value: string | number | null): string | null {
  if (value === null) return null;
  return column.endsWith('_at') ? new Date(value).toISOString() : String(value);
}

async function open(): Promise<ContractDatabase> {
  const namespaces = new Namespaces();
  const stores = (namespace: string) => memoryStoresOn(namespaces.data(namespace), namespace);
  return {
    stores,
    advance: async (namespace, ms) => stores(namespace).advance(ms),
    rows: new MemoryRows(namespaces),
    drop: async () => undefined,
  };
}

describeStoreContract({
  name: 'memory',
  keepsJsonText: true,
  keepsMicroseconds: false,
  limits: {
    transactions: 'memory has none: an operation with a runner rejects',
    connections: 'an operation is over before another one begins',
    refusals: 'a record is kept as it is, whatever it holds',
  },
  open,
});
