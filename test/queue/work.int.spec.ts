import { defineEvent } from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jobCount, openBull, QUEUE_KINDS } from '../support/bull.js';
import { readDeliveries, upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { countSignals, nextSignal } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestApp, type TestBackends } from '../support/test-app.js';
import { deferred, eventually } from '../support/wait.js';

const Happened = defineEvent<{ n: number }>('happened');

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

function emitUpTo(app: TestApp, count: number): Promise<unknown> {
  return app.dataSource.transaction(() =>
    app.bus.emitMany(upTo(count).map((n) => [Happened, { n }] as const)),
  );
}

describe.each(QUEUE_KINDS)('a queue on %s', (kind) => {
  it('runs as many handlers at once as its concurrency says, and no more', async () => {
    const running = { default: 0, mail: 0 };
    const most = { default: 0, mail: 0 };
    const full = { default: deferred(), mail: deferred() };
    const count = (queue: 'default' | 'mail', limit: number) => async () => {
      most[queue] = Math.max(most[queue], ++running[queue]);
      // The first ones wait for each other: they must be there together.
      if (running[queue] === limit) full[queue].resolve();
      await full[queue].promise;
      await new Promise((resolve) => setImmediate(resolve));
      running[queue]--;
    };
    const app = await startApp({
      url: backends.database.url,
      events: {
        namespace: newNamespace(),
        queue: backends[kind],
        queues: { default: { concurrency: 20 }, mail: { concurrency: 3 } },
      },
      providers: [
        onEvent(Happened, { id: 'stored' }, count('default', 20)),
        onEvent(Happened, { id: 'mailed', queue: 'mail' }, count('mail', 3)),
      ],
    });
    const completed = countSignals(app.signals, 'delivery.completed', 60);
    await emitUpTo(app, 30);
    await completed;
    expect(most).toEqual({ default: 20, mail: 3 });
  });

  it('starts no more jobs in a time than its limiter says', async () => {
    const starts: number[] = [];
    const app = await startApp({
      url: backends.database.url,
      events: {
        namespace: newNamespace(),
        queue: backends[kind],
        queues: { default: { limiter: { max: 2, duration: 300 } } },
      },
      providers: [onEvent(Happened, { id: 'limited' }, () => starts.push(performance.now()))],
    });
    const completed = countSignals(app.signals, 'delivery.completed', 6);
    // Not from the first start, which may be late: the window begins when its job is fetched.
    const emitting = performance.now();
    await emitUpTo(app, 6);
    await completed;
    // Six starts are three windows; the third begins 600 ms after the first. Clocks and windows of
    // BullMQ leave a little room.
    expect(starts.at(-1)! - emitting).toBeGreaterThan(500);
  });

  it('runs lower priorities first', async () => {
    const order: string[] = [];
    const release = deferred();
    const blocked = deferred();
    const note = (id: string) => () => {
      order.push(id);
    };
    const namespace = newNamespace();
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends[kind], queues: { default: { concurrency: 1 } } },
      providers: [
        onEvent('block', { id: 'block' }, () => {
          blocked.resolve();
          return release.promise;
        }),
        onEvent(Happened, { id: 'late', priority: 90 }, note('late')),
        onEvent(Happened, { id: 'usual' }, note('usual')),
        onEvent(Happened, { id: 'soon', priority: 1 }, note('soon')),
      ],
    });
    await emitIn(app, 'block');
    await blocked.promise;
    const pushed = nextSignal(app.signals, 'relay.pushed');
    await emitUpTo(app, 3);
    await pushed;
    const completed = countSignals(app.signals, 'delivery.completed', 10);
    release.resolve();
    await completed;
    expect(order).toEqual([
      ...upTo(3).map(() => 'soon'),
      ...upTo(3).map(() => 'usual'),
      ...upTo(3).map(() => 'late'),
    ]);
  });

  it('keeps the order of events where all handlers have one priority', async () => {
    const order: number[] = [];
    const app = await startApp({
      url: backends.database.url,
      events: {
        namespace: newNamespace(),
        queue: backends[kind],
        queues: { default: { concurrency: 1 } },
      },
      providers: [onEvent(Happened, { id: 'noted' }, ({ data }) => order.push(data.n))],
    });
    const completed = countSignals(app.signals, 'delivery.completed', 30);
    await emitUpTo(app, 30);
    await completed;
    expect(order).toEqual(upTo(30));
  });

  it('D1: keeps no job of a delivery that is completed or dead; its id carries the epoch', async () => {
    const namespace = newNamespace();
    const release = deferred();
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends[kind], defaults: { attempts: 2, backoff: 0 } },
      providers: [
        onEvent(Happened, { id: 'works' }, () => release.promise),
        onEvent(Happened, { id: 'fails' }, async () => {
          await release.promise;
          throw new Error('no');
        }),
      ],
    });
    const bull = await openBull(backends, kind, namespace);
    const dead = nextSignal(app.signals, 'delivery.dead');
    const completed = nextSignal(app.signals, 'delivery.completed');
    const started = countSignals(app.signals, 'delivery.started', 2);
    await emitIn(app, Happened, { n: 1 });
    await started;
    const ids = (await bull.getJobs()).map(({ id }) => id!);
    expect(ids.toSorted()).toEqual([`${namespace}-1-fails-0`, `${namespace}-1-works-0`]);
    release.resolve();
    await Promise.all([dead, completed]);
    await eventually(async () => (await jobCount(bull)) === 0, { what: 'no job is left' });

    // As an operator's redrive does it: with another epoch the job is a new one, and runs.
    const again = nextSignal(app.signals, 'delivery.dead');
    await app.dataSource.sql`
      UPDATE events_deliveries SET status = 'queued', epoch = 1, attempts = 0
      WHERE namespace = ${namespace} AND handler = 'fails'`;
    const skipped = nextSignal(app.signals, 'delivery.skipped');
    const job = (epoch: number) => ({ handler: 'fails', deliveries: [{ position: 1, epoch }] });
    await bull.add('fails', job(0), { jobId: `${namespace}-1-fails-0` });
    expect((await skipped).reason).toBe('it is queued in epoch 1, not 0');
    await bull.add('fails', job(1), { jobId: `${namespace}-1-fails-1`, attempts: 9 });
    expect(await again).toMatchObject({ attempt: 2, maxAttempts: 2 });
    expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([
      { handler: 'fails', status: 'dead', epoch: 1, attempts: 2 },
      { handler: 'works', status: 'completed', epoch: 0, attempts: 1 },
    ]);
  });
});
