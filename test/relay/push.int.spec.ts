import type { Queue } from 'bullmq';
import { defineEvent } from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jobCount, openBull, QUEUE_KINDS } from '../support/bull.js';
import { sql } from '../support/database.js';
import { readDeliveries, sorted, upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { proxiedQueue } from '../support/proxied.js';
import { countSignals, nextSignal, recordSignals } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { deferred, eventually } from '../support/wait.js';

const Happened = defineEvent<{ n: number }>('happened');

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

describe.each(QUEUE_KINDS)('pushing to BullMQ on %s', (kind) => {
  it('C8: no transaction is open while a push hangs; it goes on when the queue answers', async () => {
    const { proxy, queue } = await proxiedQueue(backends, kind);
    const handled: number[] = [];
    const app = await startApp({
      url: backends.database.url,
      events: { namespace: newNamespace(), queue, shutdownTimeout: '500ms' },
      providers: [onEvent(Happened, { id: 'noted' }, ({ data }) => handled.push(data.n))],
    });
    // The job may be done before the relay knows that it is in the queue.
    const warm = [
      nextSignal(app.signals, 'relay.pushed'),
      nextSignal(app.signals, 'delivery.completed'),
    ];
    await emitIn(app, Happened, { n: 1 });
    await Promise.all(warm);

    const pushed = recordSignals(app.signals, 'relay.pushed');
    const completed = countSignals(app.signals, 'delivery.completed', 2);
    const moved = nextSignal(app.signals, 'relay.moved', () => {
      proxy.blackhole(); // Between the commit and the push.
      return true;
    });
    await emitIn(app, Happened, { n: 2 });
    await moved;
    // Emits that come meanwhile don't need the queue either.
    await emitIn(app, Happened, { n: 3 });
    // The relay may be within its next pass, or this process within a look at its outbox.
    await eventually(async () => (await sql.idleTransactions(app.dataSource)).length === 0, {
      what: 'no transaction is open',
    });
    expect(pushed).toEqual([]);

    proxy.heal();
    await completed;
    expect(sorted(handled)).toEqual([1, 2, 3]);
  });

  it('C7: a delivery that is pushed again while its job exists gets no second job', async () => {
    const namespace = newNamespace();
    const release = deferred();
    const started = deferred();
    let runs = 0;
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends[kind], rescue: { after: 10, interval: 20 } },
      providers: [
        onEvent(Happened, { id: 'slow' }, async () => {
          runs++;
          started.resolve();
          await release.promise;
        }),
      ],
    });
    const bull = await openBull(backends, kind, namespace);
    await emitIn(app, Happened, { n: 1 });
    await started.promise;
    await countSignals(app.signals, 'rescue.pushed', 3);
    expect(await jobCount(bull)).toBe(1);

    const completed = nextSignal(app.signals, 'delivery.completed');
    release.resolve();
    await completed;
    await gone(bull);
    expect(runs).toBe(1);
  });

  it('C7: a delivery that is pushed again after it was done is not run again', async () => {
    const namespace = newNamespace();
    const runs: string[] = [];
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends[kind] },
      providers: [
        onEvent(Happened, { id: 'plain' }, () => runs.push('plain')),
        onEvent(Happened, { id: 'transactional', transactional: true }, () =>
          runs.push('transactional'),
        ),
      ],
    });
    const bull = await openBull(backends, kind, namespace);
    const completed = countSignals(app.signals, 'delivery.completed', 2);
    await emitIn(app, Happened, { n: 1 });
    await completed;
    await gone(bull);

    const skipped = countSignals(app.signals, 'delivery.skipped', 2);
    for (const handler of ['plain', 'transactional']) {
      const deliveries = [{ position: 1, epoch: 0 }];
      await bull.add(handler, { handler, deliveries }, { jobId: `again-${handler}` });
    }
    for (const { reason } of await skipped) expect(reason).toBe('it is completed');
    expect(runs.toSorted()).toEqual(['plain', 'transactional']);
    for (const { attempts } of await readDeliveries(app.dataSource, namespace)) {
      expect(attempts).toBe(1);
    }
  });

  it('C7: a push that was cut off in the middle is repeated, and everything runs once', async () => {
    const { proxy, queue } = await proxiedQueue(backends, kind);
    const namespace = newNamespace();
    const runs = new Map<number, number>();
    const worker = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends[kind], relay: { enabled: false } },
      providers: [
        onEvent(Happened, { id: 'counts' }, ({ data }) => {
          runs.set(data.n, (runs.get(data.n) ?? 0) + 1);
        }),
      ],
    });
    const relay = await startApp({
      url: backends.database.url,
      events: { namespace, queue, workers: { enabled: false }, shutdownTimeout: '500ms' },
    });
    const completed = countSignals(worker.signals, 'delivery.completed', 300);
    const failed = nextSignal(relay.signals, 'relay.failed');
    relay.signals.on('relay.moved', () => setImmediate(() => proxy.cut()));
    await relay.dataSource.transaction(() =>
      relay.bus.emitMany(upTo(300).map((n) => [Happened, { n }] as const)),
    );
    await failed;
    proxy.heal();
    await completed;
    expect([...runs.values()].filter((times) => times !== 1)).toEqual([]);
    expect(runs.size).toBe(300);
  });
});

function gone(bull: Queue): Promise<boolean> {
  return eventually(async () => (await jobCount(bull)) === 0, { what: 'no job is left' });
}
