import { randomUUID } from 'node:crypto';
import { DataSource, type EntityManager } from 'typeorm';
import { boot, OrderPlaced, type App } from '../contenders/durable-events.js';
import { makeData } from '../event.js';
import type { Session, Task } from '../protocol.js';

/** Transactions of one variant in a row: short, so that what slows the machine hits all variants. */
const BLOCK = 50;
const MANY = 100;
/** Of its transactions there are fewer: each writes so much more. */
const MANY_PART = 10;
const POOL = 12;

/** Time and CPU of one transaction, in µs. */
export interface EmitCost {
  readonly wall: number;
  readonly cpu: number;
}

interface Variant {
  readonly name: string;
  /** With a DataSource that knows nothing of the library, or with the library's. */
  readonly where: 'plain' | 'library';
  /** It has this part of the transactions of the others: one of `part`. Default 1. */
  readonly part?: number;
  readonly write?: (manager: EntityManager, n: number) => Promise<unknown>;
}

/**
 * An application that only emits, and beside it a plain DataSource on the same database. Each
 * transaction inserts one business row; variants write more. The variants take turns in small blocks.
 */
export async function start(task: Task): Promise<Session> {
  const app = await boot(
    { ...task, options: { ...task.options, relay: false, workers: false, poolSize: POOL } },
    () => undefined,
  );
  const plain = new DataSource({ type: 'postgres', url: task.databaseUrl, poolSize: POOL });
  await plain.initialize();
  await createTables(plain);
  const variants = variantsOf(app);
  const run = async ({ atLeast, connections }: { atLeast: number; connections: number }) => {
    const transactions = Math.ceil(atLeast / BLOCK) * BLOCK;
    const costs = await inBlocks(variants, { app, plain }, transactions, connections);
    await checkRows(plain, transactions, connections);
    return costs;
  };
  await run({ atLeast: 4 * BLOCK, connections: 1 });
  return {
    answers: { run },
    async close() {
      await plain.destroy();
      await app.close();
    },
  };
}

function variantsOf({ events }: App): readonly Variant[] {
  return [
    { name: 'the transaction', where: 'plain' },
    { name: 'with the library loaded', where: 'library' },
    { name: '+ INSERT of the same row', where: 'plain', write: insertSameRow },
    {
      name: '+ emit',
      where: 'library',
      write: (_manager, n) => events.emit(OrderPlaced, makeData(n)),
    },
    {
      name: '+ emitMany of 100',
      part: MANY_PART,
      where: 'library',
      write: (_manager, n) =>
        events.emitMany(
          Array.from({ length: MANY }, (_, index) => [OrderPlaced, makeData(n + index)] as const),
        ),
    },
  ];
}

/** A twin of the outbox, with its indexes: the plain INSERT must write what an emit writes. */
async function createTables(plain: DataSource): Promise<void> {
  await plain.query(`CREATE TABLE orders (id bigserial PRIMARY KEY, variant text, customer text)`);
  await plain.query(`CREATE TABLE twin (LIKE events_outbox INCLUDING ALL)`);
}

function insertSameRow(manager: EntityManager, n: number): Promise<unknown> {
  return manager.query(
    `INSERT INTO twin (namespace, event_id, name, version, category, data, occurred_at)
     VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp())`,
    ['default', randomUUID(), OrderPlaced.name, 1, 'domain', JSON.stringify(makeData(n))],
  );
}

async function inBlocks(
  variants: readonly Variant[],
  { app, plain }: { app: App; plain: DataSource },
  transactions: number,
  connections: number,
): Promise<Record<string, EmitCost>> {
  const costs = new Map(variants.map(({ name }) => [name, { wall: 0, cpu: 0 }]));
  for (let done = 0; done < transactions; done += BLOCK) {
    for (const { name, where, write, part = 1 } of variants) {
      const dataSource = where === 'plain' ? plain : app.dataSource;
      const cost = costs.get(name)!;
      const cpu = process.cpuUsage();
      const started = performance.now();
      let left = BLOCK / part;
      const loop = async () => {
        while (left-- > 0) {
          await dataSource.transaction(async (manager) => {
            await manager.query('INSERT INTO orders (variant, customer) VALUES ($1, $2)', [
              name,
              'customer-1',
            ]);
            await write?.(manager, done);
          });
        }
      };
      await Promise.all(Array.from({ length: connections }, loop));
      const used = process.cpuUsage(cpu);
      cost.wall += ((performance.now() - started) * 1_000 * part) / transactions;
      cost.cpu += ((used.user + used.system) * part) / transactions;
    }
  }
  return Object.fromEntries(costs);
}

/** Empties the tables for the next run, after making sure that each variant wrote what it should. */
async function checkRows(
  plain: DataSource,
  transactions: number,
  connections: number,
): Promise<void> {
  const [rows] = await plain.query<[{ orders: string; twins: string; events: string }]>(
    `SELECT (SELECT count(*) FROM orders) AS orders, (SELECT count(*) FROM twin) AS twins,
       (SELECT count(*) FROM events_outbox) AS events`,
  );
  const found = [rows.orders, rows.twins, rows.events].map(Number);
  const many = transactions / MANY_PART;
  const wanted = [4 * transactions + many, transactions, transactions + MANY * many];
  if (found.join() !== wanted.join()) {
    throw new Error(`${connections} connections: found ${found.join()} rows, not ${wanted.join()}`);
  }
  await plain.query('TRUNCATE orders, twin, events_outbox');
}
