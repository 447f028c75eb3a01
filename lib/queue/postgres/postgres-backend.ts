import { createPostgresBackend, withBackend, type PostgresConnectionOptions } from 'bullmq';
import pg from 'pg';
import { withTimeLimit } from '../../common/time-limit.js';
import type { DeliveryJobData } from '../event-queue.js';
import type {
  BullBackend,
  BullProcessor,
  BullQueue,
  BullWorker,
  BullWorkerSettings,
} from '../bull-backend.js';
import { BULLMQ_SCHEMA, prepareQueueSchema } from './queue-schema.js';

const CONNECT_LIMIT_MS = 3_000;

/** Connection string or pool configuration of node-postgres. */
export type PostgresTarget = string | pg.PoolConfig;

const bull = withBackend(createPostgresBackend);

/** One pool for BullMQ on PostgreSQL. Every worker keeps one of its connections for LISTEN. */
export class PostgresBackend implements BullBackend {
  readonly description: string;
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
    const config = withSearchPath(
      typeof target === 'string' ? { connectionString: target } : target,
    );
    this.pool = new pg.Pool({
      max: settings.workers * 2 + 4,
      connectionTimeoutMillis: CONNECT_LIMIT_MS,
      keepAlive: true,
      ...config,
    });
    this.pool.on('error', () => undefined); // An idle connection was lost; the pool opens another.
    // One that is lost while in use fails its query; without a listener it would end the process.
    this.pool.on('connect', (client) => client.on('error', () => undefined));
    // BullMQ adds a listener per queue and worker.
    this.pool.setMaxListeners(0);
    this.description = `PostgreSQL at ${place(config)}`;
  }

  async connect(): Promise<void> {
    const reached = this.prepared
      ? this.pool.query('SELECT 1')
      : prepareQueueSchema(this.pool, this.settings.migrate);
    await withTimeLimit<unknown>(
      reached,
      this.prepared ? CONNECT_LIMIT_MS : CONNECT_LIMIT_MS * 10, // Migrations may wait for a lock.
      () => new Error('no answer in time'),
    );
    this.prepared = true;
  }

  createQueue(name: string): BullQueue {
    return new bull.Queue<DeliveryJobData, void>(name, { connection: this.connection });
  }

  createWorker(name: string, process: BullProcessor, settings: BullWorkerSettings): BullWorker {
    return new bull.Worker<DeliveryJobData, void>(name, process, {
      ...settings,
      connection: this.connection,
    });
  }

  async disconnect(): Promise<void> {
    await this.pool.end();
  }
}

function place(config: pg.PoolConfig): string {
  // The client parses URLs, environment variables and defaults like the pool will.
  const { host, port, database } = new pg.Client(config);
  return `${host}:${port}/${database ?? ''}`;
}

/**
 * BullMQ's SQL names no schema: the search path of every connection must lead to its tables. Options
 * in a connection string win over those beside it, so they are completed where they are.
 */
function withSearchPath(config: pg.PoolConfig): pg.PoolConfig {
  const searchPath = `-c search_path=${BULLMQ_SCHEMA}`;
  const complete = (options: string | null | undefined) =>
    options === null || options === undefined || options === ''
      ? searchPath
      : `${options} ${searchPath}`;
  const { connectionString } = config;
  if (connectionString !== undefined && URL.canParse(connectionString)) {
    const url = new URL(connectionString);
    const given = url.searchParams.get('options');
    if (given !== null) {
      url.searchParams.set('options', complete(given));
      return { ...config, connectionString: url.href };
    }
  }
  return { ...config, options: complete(config.options) };
}
