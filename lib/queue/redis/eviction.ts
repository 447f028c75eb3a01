import type { Redis } from 'ioredis';

/** The only policy under which Redis never deletes a job by itself. */
export const NO_EVICTION = 'noeviction';

/**
 * The server's `maxmemory-policy`; undefined where it does not tell. From INFO, which BullMQ needs
 * anyway: hosted servers often forbid CONFIG.
 */
export async function evictionPolicy(redis: Redis): Promise<string | undefined> {
  const memory = String(await redis.call('INFO', 'memory'));
  return /^maxmemory_policy:(\S+)/m.exec(memory)?.[1];
}

/**
 * Leaves the policy out of what this connection's `info()` tells: BullMQ prints a warning about it to
 * the console for each of its connections, beside the one of ours.
 */
export function hideEvictionPolicy(redis: Redis): void {
  const info = redis.info.bind(redis) as (...args: unknown[]) => Promise<string>;
  const filtered = async (...args: unknown[]): Promise<string> => {
    const answer = info(...args);
    // ioredis itself asks with a callback, for its ready check.
    if (typeof args.at(-1) === 'function') return answer;
    return (await answer).replace(/^maxmemory_policy:.*\r?\n/m, '');
  };
  redis.info = filtered;
}
