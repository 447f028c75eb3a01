import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it, onTestFinished, vi } from 'vitest';
import { Logger } from '@nestjs/common';
import { logSignals } from '../../lib/observability/signal-logger.js';
import { LogLines } from '../support/log-lines.js';
import { startRedis, type PrivateServer } from '../support/services.js';
import { nextSignal, recordSignals } from '../support/signals.js';
import { eventually } from '../support/wait.js';
import { noting, OwnQueue } from './own-queue.js';

let server: PrivateServer;
let admin: Redis;
beforeAll(async () => {
  server = await startRedis();
  admin = new Redis(server.url);
});
afterAll(async () => {
  admin.disconnect();
  await server.stop();
});

/** The lines that BullMQ prints by itself. */
function consoleLines(): unknown[] {
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  onTestFinished(() => warn.mockRestore());
  return warn.mock.calls;
}

/** Opens the queue and uses it, with a worker: all connections are made. */
async function use(own: OwnQueue): Promise<void> {
  const seen: number[] = [];
  await own.queue.ready();
  const worker = own.work(noting(seen));
  await own.push([1]);
  await eventually(() => seen.length === 1, { what: 'a job has run' });
  await worker.close(1_000, 1_000);
}

it('D6: a Redis that may evict jobs is told once, with what to do', async () => {
  const printed = consoleLines();
  const logger = new LogLines();
  Logger.overrideLogger(logger);
  onTestFinished(() => Logger.overrideLogger(false));
  await admin.config('SET', 'maxmemory-policy', 'allkeys-lru');
  const own = new OwnQueue({ redis: server.url });
  logSignals(own.signals);
  const all = recordSignals(own.signals, 'queue.evicts');
  const evicts = nextSignal(own.signals, 'queue.evicts');
  await use(own);
  const target = `Redis at 127.0.0.1:${server.port}`;
  expect(await evicts).toEqual({ target, policy: 'allkeys-lru' });
  expect(all).toHaveLength(1);
  expect(logger.ours.map(({ text }) => text)).toEqual([
    expect.stringMatching(/deletes keys.*allkeys-lru.*Set maxmemory-policy to noeviction/),
  ]);
  expect(printed).toEqual([]);
});

it.each<[string, () => Promise<unknown>, (url: string) => string]>([
  ['keeps its keys', () => admin.config('SET', 'maxmemory-policy', 'noeviction'), (url) => url],
  [
    'does not tell its settings',
    () =>
      admin
        .config('SET', 'maxmemory-policy', 'allkeys-lru')
        .then(() =>
          admin.call('ACL', 'SETUSER', 'app', 'on', '>pw', '~*', '&*', '+@all', '-config'),
        ),
    (url) => url.replace('redis://', 'redis://app:pw@'),
  ],
])('D6: of a Redis that %s, as much is told as it says', async (what, prepare, place) => {
  await prepare();
  const printed = consoleLines();
  const own = new OwnQueue({ redis: place(server.url) });
  const all = recordSignals(own.signals, 'queue.evicts');
  await use(own);
  // INFO tells the policy, too, and is rarely forbidden.
  expect(all).toHaveLength(what === 'keeps its keys' ? 0 : 1);
  expect(printed).toEqual([]);
});
