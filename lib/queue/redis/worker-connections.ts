import type { Redis } from 'ioredis';
import { hideEvictionPolicy } from './eviction.js';

/** The connections of one worker: the one that BullMQ is given, and the duplicates it makes of it. */
export class WorkerConnections {
  private readonly open = new Set<Redis>();

  constructor(readonly main: Redis) {
    this.adopt(main);
  }

  /** At once, and for good: also those that BullMQ could not close. */
  drop(): void {
    for (const redis of this.open) redis.disconnect();
  }

  private adopt(redis: Redis): Redis {
    this.open.add(redis);
    hideEvictionPolicy(redis);
    // BullMQ stops listening before the last error has come, which ioredis would then print.
    redis.on('error', () => undefined);
    const duplicate = redis.duplicate.bind(redis);
    redis.duplicate = (override) => this.adopt(duplicate(override));
    return redis;
  }
}
