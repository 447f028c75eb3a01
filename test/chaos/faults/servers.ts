import type { PrivateServer } from '../../support/services.js';
import { pause } from '../pause.js';
import type { Fault } from './fault.js';

export const killPostgres: Fault = {
  name: 'kill-postgres',
  weight: 2,
  plan(prng) {
    const ms = prng.int(200, 3_000);
    return {
      what: `down for ${ms} ms`,
      run: ({ postgres }, over) =>
        alone(postgres, async () => {
          await postgres.kill();
          await pause(ms, over);
          await postgres.restart();
        }),
    };
  },
};

export const restartPostgres: Fault = {
  name: 'restart-postgres',
  weight: 2,
  plan: () => ({
    what: 'in order',
    run: ({ postgres }) => alone(postgres, () => postgres.restart()),
  }),
};

export const killRedis: Fault = {
  name: 'kill-redis',
  weight: 3,
  only: 'redis',
  plan(prng) {
    const ms = prng.int(100, 4_000);
    return {
      what: `down for ${ms} ms`,
      run: ({ redis }, over) =>
        alone(redis, async (server) => {
          await server.kill();
          await pause(ms, over);
          await server.restart();
        }),
    };
  },
};

export const stopRedis: Fault = {
  name: 'stop-redis',
  weight: 2,
  only: 'redis',
  plan(prng) {
    const ms = prng.int(500, 6_000);
    return {
      what: `for ${ms} ms`,
      run: ({ redis }, over) =>
        alone(redis, async ({ pid }) => {
          process.kill(pid, 'SIGSTOP');
          await pause(ms, over);
          process.kill(pid, 'SIGCONT');
        }),
    };
  },
};

export const wipeQueue: Fault = {
  name: 'wipe-queue',
  weight: 3,
  plan: () => ({
    what: 'everything',
    run: async (system) => {
      // Redis may be down by another fault, and has lost everything then anyway.
      await system.wipeQueue().catch(() => undefined);
    },
  }),
};

const busy = new WeakSet<PrivateServer>();

/** One fault of a server at a time: two restarts at once would start it twice. The later one is left out. */
async function alone(
  server: PrivateServer | undefined,
  work: (server: PrivateServer) => Promise<void>,
): Promise<void> {
  if (server === undefined || busy.has(server)) return;
  busy.add(server);
  try {
    await work(server);
  } finally {
    busy.delete(server);
  }
}
