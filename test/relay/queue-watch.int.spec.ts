import { defineEvent, type QueueTarget } from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { QueueWatch } from '../../lib/relay/queue-watch.js';
import { jobCount, openBull, QUEUE_KINDS, wipeQueue, type QueueKind } from '../support/bull.js';
import { onPostgres } from '../support/database.js';
import { readDeliveries, sorted, upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { marked } from '../support/queue-mark.js';
import { registerHandler } from '../support/register-handler.js';
import { BULK_MS, countSignals, nextSignal, recordSignals } from '../support/signals.js';
import { countAcross, emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestApp, type TestBackends } from '../support/test-app.js';
import { deferred } from '../support/wait.js';

const Happened = defineEvent<{ n: number }>('happened');
/** More than one page of a refill. */
const EVENTS = 600;
/** The rescue would mend it too, but much later: these tests are over before. */
const NO_RESCUE = { after: '1h', interval: '1h' } as const;

describe.each(QUEUE_KINDS)('a wipe of the queue, on BullMQ with %s', (kind) => {
  let backends: TestBackends;
  beforeAll(async () => {
    backends = await createTestBackends();
  });
  afterAll(() => backends.drop());

  it(
    'D5: is noticed by the first look after it, and everything that is queued is pushed again',
    async () => {
      const namespace = newNamespace();
      const [running, go] = [deferred(), deferred()];
      const handled: number[] = [];
      const app = await startApp({
        url: backends.database.url,
        events: {
          namespace,
          queue: backends[kind],
          queues: { default: { concurrency: 5 } },
          rescue: NO_RESCUE,
        },
        providers: [
          onEvent(Happened, { id: 'noted', transactional: true }, async ({ data }) => {
            running.resolve();
            await go.promise;
            handled.push(data.n);
          }),
        ],
      });
      await marked(app, await openBull(backends, kind, namespace), namespace);
      const pushed = nextSignal(app.signals, 'relay.pushed');
      const completed = countSignals(
        app.signals,
        'delivery.completed',
        EVENTS,
        () => true,
        BULK_MS,
      );
      await app.dataSource.transaction(() =>
        app.bus.emitMany(upTo(EVENTS).map((n) => [Happened, { n }] as const)),
      );
      await Promise.all([pushed, running.promise]);
      const wiped = countSignals(app.signals, 'queue.wiped', 1, () => true, BULK_MS);
      const refilled = countSignals(app.signals, 'queue.refilled', 1, () => true, BULK_MS);
      await wipeQueue(backends, kind);
      // One that is under way may notice it, or have looked before it.
      const looks = vi.spyOn(QueueWatch.prototype, 'check');
      onTestFinished(() => looks.mockRestore());
      await wiped;
      expect(looks.mock.calls.length).toBeLessThanOrEqual(1);
      await refilled;
      go.resolve();
      await completed;
      expect(sorted(handled)).toEqual(upTo(EVENTS));
      const { ledger, queue } = await app.health.check();
      expect(ledger).toMatchObject({
        delivered: EVENTS,
        completed: EVENTS,
        queued: 0,
        difference: 0,
      });
      expect(queue).toMatchObject({ wipes: 1, wipedAt: expect.any(Date) as Date });
    },
    BULK_MS,
  );

  it('is mended by one of several relays, and counted once', async () => {
    const namespace = newNamespace();
    const options = {
      url: backends.database.url,
      events: { namespace, queue: backends[kind], workers: { enabled: false }, rescue: NO_RESCUE },
    };
    const apps = [await startApp(options), await startApp(options), await startApp(options)];
    const [app] = apps as [TestApp];
    await registerHandler(app.dataSource, namespace, 'noted');
    const bull = await openBull(backends, kind, namespace);
    await marked(app, bull, namespace);
    const pushed = countAcross(apps, 'relay.pushed', 1);
    await emitIn(app, Happened, { n: 1 });
    await pushed;
    const wipes = apps.map(({ signals }) => recordSignals(signals, 'queue.wiped'));
    const refilled = countAcross(apps, 'queue.refilled', 1);
    await wipeQueue(backends, kind);
    await refilled;
    expect(await jobCount(bull)).toBe(1);
    expect(wipes.flat()).toHaveLength(1);
    expect((await app.health.check()).queue.wipes).toBe(1);
  });

  it('keeps the wait before a next attempt', async () => {
    const namespace = newNamespace();
    const app = await startApp({
      url: backends.database.url,
      events: {
        namespace,
        queue: backends[kind],
        rescue: NO_RESCUE,
        defaults: { backoff: '1h' },
      },
      providers: [
        onEvent(Happened, { id: 'noted' }, () => {
          throw new Error('not yet');
        }),
      ],
    });
    const bull = await openBull(backends, kind, namespace);
    await marked(app, bull, namespace);
    const failed = nextSignal(app.signals, 'delivery.failed');
    await emitIn(app, Happened, { n: 1 });
    await failed;
    const refilled = nextSignal(app.signals, 'queue.refilled');
    await wipeQueue(backends, kind);
    expect(await refilled).toMatchObject({ deliveries: 1 });
    const [job] = await bull.getDelayed();
    expect(job!.delay).toBeGreaterThan(55 * 60_000);
    expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([{ attempts: 1 }]);
  });

  it('a queue that is another one gets everything that is queued', async () => {
    const namespace = newNamespace();
    const relays = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends[kind], workers: { enabled: false }, rescue: NO_RESCUE },
    });
    await registerHandler(relays.dataSource, namespace, 'noted');
    await marked(relays, await openBull(backends, kind, namespace), namespace);
    const pushed = nextSignal(relays.signals, 'relay.pushed');
    await emitIn(relays, Happened, { n: 7 });
    await pushed;
    await relays.close();
    const handled = deferred<number>();
    await startApp({
      url: backends.database.url,
      events: { namespace, queue: other(kind, backends), rescue: NO_RESCUE },
      providers: [onEvent(Happened, { id: 'noted' }, ({ data }) => handled.resolve(data.n))],
    });
    expect(await handled.promise).toBe(7);
  });

  it('a refill that nobody finished is taken up by the process that began it', async () => {
    const namespace = newNamespace();
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends[kind], workers: { enabled: false }, rescue: NO_RESCUE },
    });
    await registerHandler(app.dataSource, namespace, 'noted');
    await marked(app, await openBull(backends, kind, namespace), namespace);
    const pushed = nextSignal(app.signals, 'relay.pushed');
    await emitIn(app, Happened, { n: 1 });
    await pushed;
    const refilled = countSignals(app.signals, 'queue.refilled', 1, () => true, BULK_MS);
    const failed = nextSignal(app.signals, 'rescue.failed');
    await app.dataSource.query('ALTER TABLE events_handlers RENAME TO events_handlers_away');
    await wipeQueue(backends, kind);
    await failed;
    await app.dataSource.query('ALTER TABLE events_handlers_away RENAME TO events_handlers');
    expect(await refilled).toMatchObject([{ deliveries: 1 }]);
  });
});

/** Another queue than the kind's: on another server, or where there is none, under another prefix. */
function other(kind: QueueKind, backends: TestBackends): QueueTarget {
  if (kind === 'postgres') return backends.redis;
  if (onPostgres) return backends.postgres;
  const { redis, prefix } = backends.redis as { redis: string; prefix: string };
  return { redis, prefix: `${prefix}_other` };
}
