import { once } from 'node:events';
import { Queue, Worker } from 'bullmq';
import { Redis, type RedisOptions } from 'ioredis';
import { InvalidOptionsError } from '../../errors.js';
import type { DeliveryJobData } from '../event-queue.js';
import type {
  BullBackend,
  BullProcessor,
  BullQueue,
  BullWorker,
  BullWorkerSettings,
} from '../bull-backend.js';

const CONNECT_LIMIT_MS = 2_000;
const COMMAND_LIMIT_MS = 5_000;
const RETRY_MS = 500;

/** URL, ioredis options, or an ioredis instance (which is only duplicated, never used or closed). */
export type RedisTarget = string | RedisOptions | Redis;

/** Connections of BullMQ on Redis: one that fails fast for pushes, one that waits for workers. */
export class RedisBackend implements BullBackend {
  readonly description: string;
  private readonly producer: Redis;
  private consumer: Redis | undefined;
  /** Shared by all who ask meanwhile. */
  private connecting: Promise<void> | undefined;
  private lastError: Error | undefined;

  constructor(
    private readonly target: RedisTarget,
    private readonly prefix: string,
  ) {
    this.producer = this.open({
      lazyConnect: true, // A boot that fails must not leave a connection that nobody closes.
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      commandTimeout: COMMAND_LIMIT_MS,
    });
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

  createWorker(name: string, process: BullProcessor, settings: BullWorkerSettings): BullWorker {
    // BullMQ waits as long as it takes on this connection, and duplicates it to block on.
    this.consumer ??= this.open({ maxRetriesPerRequest: null });
    return new Worker<DeliveryJobData, void>(name, process, {
      ...settings,
      connection: this.consumer,
      prefix: this.prefix,
    });
  }

  async disconnect(): Promise<void> {
    this.producer.disconnect();
    this.consumer?.disconnect();
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
    const settings = { ...own, retryStrategy: () => RETRY_MS };
    const redis = openRedis(this.target, settings);
    redis.on('error', (error: Error) => (this.lastError = error));
    return redis;
  }
}

function openRedis(target: RedisTarget, settings: RedisOptions): Redis {
  if (typeof target === 'string') return new Redis(target, settings);
  if (isRedis(target)) return target.duplicate(settings);
  return new Redis({ ...target, ...settings });
}

function isRedis(target: RedisOptions | Redis): target is Redis {
  return typeof (target as Redis).duplicate === 'function';
}
