import type { Redis } from 'ioredis';
import { openRedis, type RedisTarget } from '../queue/redis/open-redis.js';
import { Coalesced } from './coalesced.js';
import { WAKE_GAP_MS, type Announcer, type Listener } from './wake-ups.js';

const RETRY_MS = 1_000;
const COMMAND_LIMIT_MS = 2_000;

/** Publishes on a connection of its own, which fails fast. */
export class RedisAnnouncer implements Announcer {
  private readonly redis: Redis;
  private readonly publishing: Coalesced;
  /** Something was committed while there was no connection. */
  private missed = false;

  constructor(target: RedisTarget, channel: string) {
    this.redis = openRedis(target, {
      lazyConnect: true,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      commandTimeout: COMMAND_LIMIT_MS,
      retryStrategy: () => RETRY_MS,
    });
    // Whether Redis is there is told by those who need it.
    this.redis.on('error', () => undefined);
    this.publishing = new Coalesced(() => this.redis.publish(channel, ''), WAKE_GAP_MS);
    this.redis.on('ready', () => {
      if (this.missed) this.wake();
    });
  }

  start(): void {
    if (this.redis.status === 'wait') this.redis.connect().catch(() => undefined);
  }

  wake(): void {
    this.missed = this.redis.status !== 'ready';
    if (!this.missed) this.publishing.trigger();
  }

  async close(): Promise<void> {
    this.redis.disconnect();
  }
}

/** Subscribes on a connection of its own. */
export class RedisListener implements Listener {
  private readonly redis: Redis;

  constructor(
    target: RedisTarget,
    private readonly channel: string,
    private readonly onWake: () => void,
  ) {
    this.redis = openRedis(target, {
      lazyConnect: true,
      maxRetriesPerRequest: null,
      retryStrategy: () => RETRY_MS,
    });
    this.redis.on('error', () => undefined);
    this.redis.on('message', () => this.onWake());
  }

  start(): void {
    if (this.redis.status !== 'wait') return;
    // Waits until there is a connection; ioredis repeats it on each later one.
    this.redis.subscribe(this.channel).then(
      () => this.onWake(),
      () => undefined,
    );
    // What was told while there was no connection is lost.
    this.redis.on('ready', () => this.onWake());
  }

  async close(): Promise<void> {
    this.redis.disconnect();
  }
}
