import { once } from 'node:events';
import { Queue, Worker } from 'bullmq';
import type { Redis, RedisOptions } from 'ioredis';
import { InvalidOptionsError } from '../../errors.js';
import type { Signals } from '../../observability/signals.js';
import type { DeliveryJobData } from '../event-queue.js';
import type {
  BullBackend,
  BullProcessor,
  BullQueue,
  BullWorkerSettings,
  ConnectedWorker,
} from '../bull-backend.js';
import { openRedis, type RedisTarget } from './open-redis.js';
import { evictionPolicy, hideEvictionPolicy, NO_EVICTION } from './eviction.js';
import { WorkerConnections } from './worker-connections.js';

const CONNECT_LIMIT_MS = 2_000;
const COMMAND_LIMIT_MS = 5_000;
const RETRY_MS = 500;
/** For the server's goodbye when a connection is dropped; one that only seems open says none. */
const DISCONNECT_LIMIT_MS = 100;

/** Connections of BullMQ on Redis: one that fails fast for pushes, and patient ones per worker. */
export class RedisBackend implements BullBackend {
  readonly description: string;
  readonly watchIntervalMs = 2_000;
  private readonly producer: Redis;
  private readonly workers = new Set<WorkerConnections>();
  /** Shared by all who ask meanwhile. */
  private connecting: Promise<void> | undefined;
  private lastError: Error | undefined;
  /** When the producer was last connected, as `performance.now()`. */
  private readyAt = 0;

  constructor(
    private readonly target: RedisTarget,
    private readonly prefix: string,
    private readonly signals: Signals,
  ) {
    this.producer = this.open({
      lazyConnect: true, // A boot that fails must not leave a connection that nobody closes.
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      commandTimeout: COMMAND_LIMIT_MS,
    });
    hideEvictionPolicy(this.producer);
    this.producer.on('ready', () => (this.readyAt = performance.now()));
    this.producer.once('ready', () => void this.checkEviction());
    const { host, port, path, keyPrefix } = this.producer.options;
    if (keyPrefix !== undefined && keyPrefix !== '') {
      throw new InvalidOptionsError(
        'queue.redis.keyPrefix',
        "can't be used with BullMQ; use queue: { redis, prefix } instead.",
      );
    }
    this.description = `Redis at ${path ?? `${host}:${port}`}`;
  }

  async connect(): Promise<void> {
    if (this.producer.status === 'ready') return;
    // From then on it connects again by itself.
    if (this.producer.status === 'wait') this.producer.connect().catch(() => undefined);
    this.connecting ??= this.untilReady().finally(() => {
      this.connecting = undefined;
    });
    await this.connecting;
  }

  createQueue(name: string): BullQueue {
    return new Queue<DeliveryJobData, void>(name, {
      connection: this.producer,
      prefix: this.prefix,
      streams: { events: { maxLen: 1_000 } },
    });
  }

  createWorker(
    name: string,
    process: BullProcessor,
    settings: BullWorkerSettings,
  ): ConnectedWorker {
    // BullMQ waits as long as it takes on this connection, and duplicates it to block on.
    const connections = new WorkerConnections(this.open({ maxRetriesPerRequest: null }));
    this.workers.add(connections);
    const worker = new Worker<DeliveryJobData, void>(name, process, {
      ...settings,
      connection: connections.main,
      prefix: this.prefix,
    });
    const drop = () => {
      connections.drop();
      this.workers.delete(connections);
    };
    return { worker, drop };
  }

  distrust(since: number): void {
    // Another command's failure may have led to a new connection meanwhile.
    if (this.producer.status !== 'ready' || this.readyAt > since) return;
    this.producer.disconnect(true);
    // The other side may be gone: without this it stays `ready` while it waits for a goodbye.
    this.producer.stream.destroy();
  }

  async disconnect(): Promise<void> {
    this.producer.disconnect();
    for (const connections of this.workers) connections.drop();
  }

  private async checkEviction(): Promise<void> {
    // A server that does not tell is none to warn about.
    const policy = await evictionPolicy(this.producer).catch(() => undefined);
    if (policy === undefined || policy === NO_EVICTION) return;
    this.signals.publish('queue.evicts', { target: this.description, policy });
  }

  private async untilReady(): Promise<void> {
    const limit = AbortSignal.timeout(CONNECT_LIMIT_MS);
    try {
      await once(this.producer, 'ready', { signal: limit });
    } catch (error) {
      if (!limit.aborted) throw error;
      throw this.lastError ?? new Error(`no connection within ${CONNECT_LIMIT_MS} ms`);
    }
  }

  private open(own: RedisOptions): Redis {
    const settings = {
      ...own,
      retryStrategy: () => RETRY_MS,
      disconnectTimeout: DISCONNECT_LIMIT_MS,
    };
    const redis = openRedis(this.target, settings);
    redis.on('error', (error: Error) => (this.lastError = error));
    return redis;
  }
}
