import pg from 'pg';
import { expect, inject, onTestFinished, vi } from 'vitest';
import type { QueueTarget } from 'nestjs-durable-events';
import { createDatabase } from '../../scripts/services/database.mjs';
import { ChildApp } from '../support/child-app.js';
import { redisPrefix } from '../support/database.js';
import { eventually } from '../support/wait.js';
import type { ShopCommand, ShopConfig, ShopMessage } from './children/shop.config.js';

// Several processes start in each test, and a busy machine starts them slowly.
vi.setConfig({ testTimeout: 120_000 });

export type ShopProcess = ChildApp<ShopCommand, ShopMessage>;
export type Backend = 'redis' | 'postgres';
export const BACKENDS: readonly Backend[] = ['redis', 'postgres'];

type ShopSettings = Partial<ShopConfig>;

/** How long a shop process has to shut down. */
export const GRACE_MS = 3_000;
/** For the end of the process itself, on a busy machine. */
export const SLACK_MS = 4_000;

/** A lost job is found, and a dead process's job is taken over, within a second or two. */
const FAST: ShopConfig['events'] = {
  relay: { pollInterval: '200ms' },
  rescue: { after: '500ms', interval: '250ms' },
  workers: { pollInterval: '200ms', lockDuration: '1s' },
  defaults: { backoff: { type: 'fixed', delay: 10 } },
  shutdownTimeout: GRACE_MS,
};

/** One delivery, as the database has it. */
export interface ShopDelivery {
  readonly order: string;
  readonly handler: string;
  readonly status: string;
  readonly attempts: number;
}

/** The database and queue of one test, and the processes of the shop on them. */
export class Shop {
  private constructor(
    readonly databaseUrl: string,
    readonly queue: QueueTarget,
    private readonly pool: pg.Pool,
  ) {}

  /**
   * Everything is removed when the test ends.
   *
   * @param servers other servers than those of the test run; a `queue` overrides `backend`
   */
  static async open(
    backend: Backend,
    servers: { postgresUrl?: string; redisUrl?: string; queue?: QueueTarget } = {},
  ): Promise<Shop> {
    const database = await createDatabase(servers.postgresUrl ?? inject('databaseUrl'));
    const keys = redisPrefix();
    const pool = new pg.Pool({ connectionString: database.url, max: 2 });
    pool.on('error', () => undefined); // Some tests end the server.
    pool.on('connect', (client) => client.on('error', () => undefined));
    // Registered before any process is started, hence run after they have been ended.
    onTestFinished(async () => {
      await pool.end();
      await database.drop();
      if (servers.redisUrl === undefined) await keys.cleanup();
    });
    const ownQueue: QueueTarget =
      backend === 'redis'
        ? { redis: servers.redisUrl ?? inject('redisUrl'), prefix: keys.prefix }
        : { postgres: database.url };
    const shop = new Shop(database.url, servers.queue ?? ownQueue, pool);
    await shop.query(`CREATE TABLE orders (id text PRIMARY KEY)`);
    await shop.query(`CREATE TABLE effects (handler text NOT NULL, order_id text NOT NULL)`);
    return shop;
  }

  /** Starts a process and waits until it has booted. */
  async start(settings: ShopSettings = {}): Promise<ShopProcess> {
    const child = this.launch(settings);
    await child.told('ready');
    return child;
  }

  /** Starts a process, which may fail to boot. */
  launch(settings: ShopSettings = {}): ShopProcess {
    const config: ShopConfig = {
      databaseUrl: this.databaseUrl,
      ...settings,
      events: { queue: this.queue, ...FAST, ...settings.events },
    };
    return new ChildApp('shop', { SHOP_CONFIG: JSON.stringify(config) });
  }

  async query<Row>(sql: string, values: unknown[] = []): Promise<Row[]> {
    return (await this.pool.query(sql, values)).rows as Row[];
  }

  /** Locks a table until `release`; `awaited` resolves when somebody waits for it. */
  async lock(table: string): Promise<{ awaited(): Promise<unknown>; release(): Promise<void> }> {
    const client = await this.pool.connect();
    await client.query(`BEGIN; LOCK TABLE ${table}`);
    const waiting = () =>
      this.query('SELECT FROM pg_locks WHERE relation = $1::regclass AND NOT granted', [table]);
    return {
      awaited: () =>
        eventually(async () => (await waiting()).length > 0, { what: `a wait for ${table}` }),
      release: async () => {
        await client.query('ROLLBACK');
        client.release();
      },
    };
  }

  deliveries(): Promise<ShopDelivery[]> {
    return this.query<ShopDelivery>(
      `SELECT log.data->>'orderId' AS order, d.handler, d.status, d.attempts
        FROM events_deliveries AS d JOIN events_log AS log USING (namespace, position)
        ORDER BY position, handler`,
    );
  }

  /** The different numbers of attempts of all deliveries. */
  async attempts(): Promise<number[]> {
    const attempts = (await this.deliveries()).map((delivery) => delivery.attempts);
    return [...new Set(attempts)].toSorted((a, b) => a - b);
  }

  /** Effects as `order handler`, sorted; one that was written twice is there twice. */
  async effects(): Promise<string[]> {
    const rows = await this.query<{ effect: string }>(
      `SELECT order_id || ' ' || handler AS effect FROM effects ORDER BY 1`,
    );
    return rows.map(({ effect }) => effect);
  }

  /** Events by where they are. */
  async events(): Promise<{ outbox: number; log: number }> {
    const [row] = await this.query<{ outbox: number; log: number }>(
      `SELECT (SELECT count(*)::int FROM events_outbox) AS outbox,
        (SELECT count(*)::int FROM events_log) AS log`,
    );
    return row!;
  }

  /**
   * Waits until these orders, and no others, are there with everything that must have followed; a
   * failure shows what was lost or done twice.
   *
   * @param options.recordEffects `once` (default), or `many`: `record` is not transactional, so it
   *   may have run more than once where a process died in it, or its job was lost
   */
  async expectHandled(
    orders: readonly string[],
    { recordEffects = 'once', timeout = 30_000 } = {},
  ): Promise<void> {
    const nothingIsWrong = async (): Promise<void> => {
      expect(await this.wrongs(orders, recordEffects)).toEqual([]);
    };
    await vi.waitFor(nothingIsWrong, { timeout, interval: 25 });
  }

  /** What is lost or done twice right now, against the invariants 1, 2, 3 and 8. */
  async wrongs(orders: readonly string[], recordEffects = 'once'): Promise<string[]> {
    const rows = await this.query<{ wrong: string }>(
      `WITH expected AS (SELECT unnest($1::text[]) AS id),
        saved AS (SELECT data->>'orderId' AS id, position FROM events_log),
        due AS (SELECT id, position, handler
          FROM saved CROSS JOIN unnest(ARRAY['record', 'reserve']) AS handler),
        counted AS (SELECT due.id, due.handler,
          (SELECT count(*) FROM effects WHERE order_id = due.id AND effects.handler = due.handler) AS n,
          (SELECT string_agg(status, ',') FROM events_deliveries AS d
            WHERE d.position = due.position AND d.handler = due.handler) AS status
          FROM due)
      SELECT 'order ' || coalesce(expected.id, orders.id) || ' is missing or nobody''s' AS wrong
        FROM expected FULL JOIN orders USING (id) WHERE expected.id IS NULL OR orders.id IS NULL
      UNION ALL SELECT 'order ' || orders.id || ' has ' || count(saved.id) || ' events in the log'
        FROM orders LEFT JOIN saved USING (id) GROUP BY orders.id HAVING count(saved.id) <> 1
      UNION ALL SELECT 'event of no order: ' || id FROM saved WHERE id NOT IN (SELECT id FROM orders)
      UNION ALL SELECT 'delivery of ' || id || ' to ' || handler || ' is ' || coalesce(status, 'missing')
        FROM counted WHERE status IS DISTINCT FROM 'completed'
      UNION ALL SELECT id || ' has ' || n || ' effects of ' || handler
        FROM counted WHERE n < 1 OR (n > 1 AND ($2 = 'once' OR handler = 'reserve'))
      UNION ALL SELECT 'effect without an event: ' || order_id
        FROM effects WHERE order_id NOT IN (SELECT id FROM saved)
      UNION ALL SELECT 'positions are not 1 to n: ' || string_agg(position::text, ',')
        FROM saved HAVING max(position) <> count(*) OR min(position) <> 1`,
      [orders, recordEffects],
    );
    return rows.map(({ wrong }) => wrong);
  }
}

/** Ends in time, with code 0, and without a word on stderr: no error, no unhandled rejection. */
export async function expectEnd(child: ShopProcess, limitMs = GRACE_MS): Promise<void> {
  const exit = await child.exited;
  expect(exit).toMatchObject({ code: 0, signal: null });
  expect(child.stderr).toBe('');
  expect(exit.ms).toBeLessThan(limitMs + SLACK_MS);
}

/** `count` order ids. */
export function orderIds(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `o${index + 1}`);
}
