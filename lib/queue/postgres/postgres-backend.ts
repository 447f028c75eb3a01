import { createPostgresBackend, withBackend, type PostgresConnectionOptions } from 'bullmq';
import pg from 'pg';
import { withTimeLimit } from '../../common/time-limit.js';
import type { DeliveryJobData } from '../event-queue.js';
import type {
  BullBackend,
  BullProcessor,
  BullQueue,
  BullWorkerSettings,
  ConnectedWorker,
} from '../bull-backend.js';
import { place, withSearchPath, type PostgresTarget } from './postgres-target.js';
import { prepareQueueSchema } from './queue-schema.js';
import { poolForWorker } from './worker-pool.js';

const CONNECT_LIMIT_MS = 3_000;
/** Migrations may wait for a lock. */
const PREPARE_LIMIT_MS = 30_000;
/**
 * For one query; a connection on which it takes longer is closed, for it may only seem to be open.
 * Less than what a command of BullMQ may take: that must fail by itself, or its connection stays.
 */
const QUERY_LIMIT_MS = 9_000;

const bull = withBackend(createPostgresBackend);

/** One pool for BullMQ on PostgreSQL. Every worker keeps one of its connections for LISTEN. */
export class PostgresBackend implements BullBackend {
  readonly description: string;
  /** Its jobs are rarely lost, and a look costs two queries. */
  readonly watchIntervalMs = 4_000;
  private readonly config: pg.PoolConfig;
  private readonly pool: pg.Pool;
  private prepared = false;

  /** BullMQ describes a pool by a type of its own, which node-postgres' overloads don't match. */
  private get connection(): PostgresConnectionOptions {
    return this.pool as unknown as PostgresConnectionOptions;
  }

  constructor(
    target: PostgresTarget,
    private readonly settings: { workers: number; migrate: boolean },
  ) {
    this.config = {
      connectionTimeoutMillis: CONNECT_LIMIT_MS,
      keepAlive: true,
      ...withSearchPath(typeof target === 'string' ? { connectionString: target } : target),
    };
    this.pool = new pg.Pool({
      max: settings.workers * 2 + 4,
      query_timeout: QUERY_LIMIT_MS,
      ...this.config,
    });
    this.pool.on('error', () => undefined); // An idle connection was lost; the pool opens another.
    // One that is lost while in use fails its query; without a listener it would end the process.
    this.pool.on('connect', (client) => client.on('error', () => undefined));
    // BullMQ adds a listener per queue and worker.
    this.pool.setMaxListeners(0);
    this.description = `PostgreSQL at ${place(this.config)}`;
  }

  async connect(): Promise<void> {
    try {
      await withTimeLimit<unknown>(
        this.prepared ? this.pool.query('SELECT 1') : this.prepare(),
        this.prepared ? CONNECT_LIMIT_MS : PREPARE_LIMIT_MS,
        () => new Error('no answer in time'),
      );
    } catch (error) {
      this.distrust();
      throw error;
    }
    this.prepared = true;
  }

  createQueue(name: string): BullQueue {
    return new bull.Queue<DeliveryJobData, void>(name, { connection: this.connection });
  }

  createWorker(
    name: string,
    process: BullProcessor,
    settings: BullWorkerSettings,
  ): ConnectedWorker {
    void this.dropIdle();
    // What it took is given back when it is closed; what it can't give back, ends by its limit.
    const { connection, drop } = poolForWorker(this.pool);
    const worker = new bull.Worker<DeliveryJobData, void>(name, process, {
      ...settings,
      connection,
    });
    return { worker, drop };
  }

  distrust(): void {
    // The one that failed is closed by the pool. Others that lie idle may be as dead as it was.
    void this.dropIdle();
  }

  async disconnect(): Promise<void> {
    await this.pool.end();
  }

  /** On a connection of its own: migrations may take longer than a query of the pool. */
  private async prepare(): Promise<void> {
    const client = new pg.Client(this.config);
    client.on('error', () => undefined);
    try {
      await client.connect();
      await prepareQueueSchema(client, this.settings.migrate);
    } finally {
      client.end().catch(() => undefined);
    }
  }

  /** Closes connections that nobody uses; whoever asks next gets new ones. */
  private async dropIdle(): Promise<void> {
    const idle = Array.from({ length: this.pool.idleCount }, () => this.pool.connect());
    for (const each of await Promise.allSettled(idle)) {
      if (each.status === 'fulfilled') each.value.release(true);
    }
  }
}
