import { defineEvent } from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { OUTAGE_TIMES, pauseMs } from '../../lib/handle/outage-pause.js';
import { QUEUE_KINDS, type QueueKind } from '../support/bull.js';
import { pool } from '../support/data-source.js';
import { readDeliveries, sorted, upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { TcpProxy } from '../support/proxy.js';
import { createRole } from '../support/role.js';
import { countSignals, nextSignal, recordSignals } from '../support/signals.js';
import { newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { deferred, eventually } from '../support/wait.js';

const Happened = defineEvent<{ n: number }>('happened');
const CONCURRENCY = 5;
const EVENTS = 1_000;
/** Deliveries of a job, at most. */
const CHUNK = 50;

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

/** An app whose database, but not its queue, is behind a proxy; its first handlers wait. */
async function startBehindProxy(kind: QueueKind) {
  const url = new URL(backends.database.url);
  const proxy = await TcpProxy.listen(url.hostname, Number(url.port));
  onTestFinished(() => proxy.close());
  url.hostname = '127.0.0.1';
  url.port = String(proxy.port);
  const namespace = newNamespace();
  const release = deferred();
  const handled: number[] = [];
  const app = await startApp({
    url: url.toString(),
    // Far more than a busy machine needs: while it is away, every connection is reset at once.
    dataSource: pool(undefined, 5_000),
    events: {
      namespace,
      queue: backends[kind],
      queues: { default: { concurrency: CONCURRENCY } },
      // In one pass: the relay's own wait after the outage is not what this is about.
      relay: { batchSize: EVENTS },
      defaults: { attempts: 1 },
      shutdownTimeout: '1s',
    },
    providers: [
      onEvent(Happened, { id: 'noted' }, async ({ data }) => {
        await release.promise;
        handled.push(data.n);
      }),
    ],
  });
  const started = countSignals(app.signals, 'delivery.started', CONCURRENCY);
  const pushed = nextSignal(app.signals, 'relay.pushed');
  await app.dataSource.transaction(() =>
    app.bus.emitMany(upTo(EVENTS).map((n) => [Happened, { n }] as const)),
  );
  await Promise.all([started, pushed]);
  return { app, proxy, namespace, release, handled };
}

describe.each(QUEUE_KINDS)('with the queue on %s, a database that goes away', (kind) => {
  it('C12: pauses the workers: few deliveries are postponed, none loses an attempt', async () => {
    const { app, proxy, namespace, release, handled } = await startBehindProxy(kind);
    const postponed = recordSignals(app.signals, 'delivery.postponed');
    const dueAgain: number[] = [];
    app.signals.on('delivery.postponed', ({ retryInMs }) =>
      dueAgain.push(performance.now() + retryInMs),
    );
    const pauses = recordSignals(app.signals, 'workers.paused');
    const paused = nextSignal(app.signals, 'workers.paused');
    proxy.cut();
    release.resolve();
    expect((await paused).error).toBeInstanceOf(Error);
    const pausedAt = performance.now();
    // The outage outlasts the wait of every postponed delivery.
    await eventually(() => dueAgain.length > 0 && dueAgain.every((at) => at < performance.now()), {
      what: 'all that was postponed is due again',
    });
    const outageMs = performance.now() - pausedAt;
    // Those that ran, and those that were being fetched.
    expect(postponed.length).toBeGreaterThan(0);
    expect(postponed.length).toBeLessThanOrEqual(2 * CONCURRENCY * CHUNK);
    expect(pauses).toHaveLength(1);
    const resumed = nextSignal(app.signals, 'workers.resumed');
    const completed = countSignals(app.signals, 'delivery.completed', EVENTS, () => true, 30_000);
    proxy.heal();
    expect((await resumed).pausedMs).toBeGreaterThanOrEqual(Math.floor(outageMs));
    await completed;
    expect(sorted(new Set(handled))).toEqual(upTo(EVENTS));
    for (const row of await readDeliveries(app.dataSource, namespace)) {
      expect(row).toMatchObject({ status: 'completed', attempts: 1 });
    }
  }, 40_000);

  it('C12: is no reason not to shut down in time, while it pauses the workers', async () => {
    const { app, proxy, release } = await startBehindProxy(kind);
    const paused = nextSignal(app.signals, 'workers.paused');
    const resumed = recordSignals(app.signals, 'workers.resumed');
    proxy.cut();
    release.resolve();
    await paused;
    const closing = performance.now();
    await app.close();
    expect(performance.now() - closing).toBeLessThan(5_000);
    // Nobody asks a closed app's database any more; the next question was due within this time.
    const asked = vi.spyOn(app.dataSource, 'createQueryRunner');
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(asked).not.toHaveBeenCalled();
    expect(resumed).toEqual([]);
  });
});

it('C12: a database that is away is not asked any more after the shutdown, not even to mark what has run', async () => {
  const { app, proxy, release, handled } = await startBehindProxy('redis');
  const postponed = recordSignals(app.signals, 'delivery.postponed');
  proxy.cut();
  release.resolve();
  await eventually(() => handled.length > 0, { what: 'a handler has run' });
  await app.close();
  const asked = vi.spyOn(app.dataSource, 'createQueryRunner');
  const givenUp = () => {
    const positions = new Set(postponed.map(({ position }) => position));
    return handled.every((n) => positions.has(n));
  };
  await eventually(givenUp, { what: 'all that has run is postponed' });
  expect(asked).not.toHaveBeenCalled();
});

it('C12: a revoked grant: the database answers, so the pauses grow until it is given back', async () => {
  const namespace = newNamespace();
  const events = { namespace, queue: backends.redis, defaults: { attempts: 1 } };
  const admin = await startApp({
    url: backends.database.url,
    events: { ...events, workers: { enabled: false } },
  });
  const role = await createRole(backends.database, `app_${namespace}`);
  const app = await startApp({
    url: role.url,
    events: { ...events, migrate: false, relay: { enabled: false } },
    providers: [onEvent(Happened, { id: 'noted' }, () => undefined)],
  });
  await role.revoke('SELECT', 'events_deliveries');
  const resumed = countSignals(app.signals, 'workers.resumed', 3);
  // Several: with one, the next report comes as late as its wait, and may count as another outage.
  await admin.dataSource.transaction(() =>
    admin.bus.emitMany(upTo(10).map((n) => [Happened, { n }] as const)),
  );
  const pauses = (await resumed).map(({ pausedMs }) => pausedMs);
  expect(pauses[0]).toBeGreaterThanOrEqual(500);
  expect(pauses[1]).toBeGreaterThanOrEqual(1_000);
  expect(pauses[2]).toBeGreaterThanOrEqual(2_000);
  const completed = nextSignal(app.signals, 'delivery.completed');
  await role.grant('SELECT', 'events_deliveries');
  expect(await completed).toMatchObject({ attempt: 1 });
}, 40_000);

it('C12: the pauses of one outage double up to their limit', () => {
  expect([0, 1, 2, 3, 4, 5, 100].map((n) => pauseMs(n, OUTAGE_TIMES))).toEqual([
    500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000,
  ]);
});
