import { join } from 'node:path';
import { Redis } from 'ioredis';
import { startChildServer } from './child-server.mjs';
import { findBinFolder } from './executables.mjs';

export function hasRedisBinary() {
  return findBinFolder(['redis-server']) !== undefined;
}

/**
 * Starts a Redis of our own from the installed binary. It forgets its keys when it is killed or
 * restarted, as most production queues' Redis do.
 *
 * @returns {Promise<import('./child-server.mjs').PrivateServer>}
 */
export async function startRedis() {
  const bin = findBinFolder(['redis-server']);
  if (!bin) throw new Error('Redis is not installed: no `redis-server` found.');
  return startChildServer({
    name: 'redis',
    stopSignal: 'SIGTERM',
    command: (_folder, port) => [
      join(bin, 'redis-server'),
      ['--bind', '127.0.0.1', '--port', String(port), '--save', '', '--appendonly', 'no'],
    ],
    url: (port) => `redis://127.0.0.1:${port}`,
    ask: askRedis,
  });
}

/**
 * Rejects unless a server answers there.
 *
 * @param {string} url
 * @returns {Promise<string>} its version
 */
export async function askRedis(url) {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: 2_000,
    commandTimeout: 2_000,
    retryStrategy: null,
    maxRetriesPerRequest: 0,
  });
  // Without a listener ioredis prints every failed connection; `connect()` rejects with the reason.
  redis.on('error', () => {});
  try {
    await redis.connect();
    await redis.ping();
    const info = await redis.info('server');
    return /redis_version:(\S+)/.exec(info)?.[1] ?? 'unknown version';
  } finally {
    redis.disconnect();
  }
}
