import { Redis, type RedisOptions } from 'ioredis';

/** URL, ioredis options, or an ioredis instance (which is only duplicated, never used or closed). */
export type RedisTarget = string | RedisOptions | Redis;

/** A connection of our own to it. */
export function openRedis(target: RedisTarget, settings: RedisOptions): Redis {
  if (typeof target === 'string') return new Redis(target, settings);
  if (isRedis(target)) return target.duplicate(settings);
  return new Redis({ ...target, ...settings });
}

function isRedis(target: RedisOptions | Redis): target is Redis {
  return typeof (target as Redis).duplicate === 'function';
}
