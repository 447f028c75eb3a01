import type { PrivateServer } from '../../support/services.js';
import { pause } from '../pause.js';
import type { Fault } from './fault.js';

export const killDatabase: Fault = {
  name: 'kill-database',
  weight: 2,
  plan(prng, { all }) {
    const ms = prng.int(200, 3_000);
    return {
      what: `down for ${ms} ms`,
      breaks: all,
      run: ({ server }, over) =>
        alone(server, async () => {
          await server.kill();
          await pause(ms, over);
          await server.restart();
        }),
    };
  },
};

export const restartDatabase: Fault = {
  name: 'restart-database',
  weight: 2,
  plan: (_prng, { all }) => ({
    what: 'in order',
    breaks: all,
    run: ({ server }) => alone(server, () => server.restart()),
  }),
};

export const killQueue: Fault = {
  name: 'kill-queue',
  weight: 3,
  only: 'own server',
  plan(prng, { all }) {
    const ms = prng.int(100, 4_000);
    return {
      what: `down for ${ms} ms`,
      breaks: all,
      run: ({ queue }, over) =>
        alone(queue.server, async (server) => {
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
  plan(prng, { all }) {
    const ms = prng.int(500, 6_000);
    return {
      what: `for ${ms} ms`,
      breaks: all,
      run: ({ queue }, over) =>
        alone(queue.server, async ({ pid }) => {
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
      await system.queue.wipe().catch(() => undefined);
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
