import { Inject, Injectable, Scope, type Provider } from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import {
  defineEvent,
  EventHandler,
  EventTransactionFailedError,
  HandlerTimeoutError,
  UnrecoverableEventError,
  type BatchResult,
  type DomainEvent,
  type EventsModuleOptions,
  type HandlerContext,
  type HandlerOptions,
} from 'nestjs-durable-events';
import type { DataSourceOptions } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jobCount, openBull, QUEUE_KINDS } from '../support/bull.js';
import { readDeliveries, sorted, upTo } from '../support/deliveries.js';
import { onBatch } from '../support/inline-handler.js';
import { QueryLog } from '../support/query-log.js';
import { marked } from '../support/queue-mark.js';
import { countSignals, nextSignal, recordSignals } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestApp, type TestBackends } from '../support/test-app.js';
import { deferred, eventually } from '../support/wait.js';

type Viewed = DomainEvent<typeof PageViewed>;
const PageViewed = defineEvent<{ n: number }>('page.viewed');
const Counted = defineEvent<{ n: number }>('counted');

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

type Handle = (events: readonly Viewed[], context: HandlerContext, app: TestApp) => unknown;

interface Setup extends Omit<HandlerOptions, 'id'> {
  readonly kind?: (typeof QUEUE_KINDS)[number];
  readonly namespace?: string;
  readonly events?: EventsModuleOptions;
  readonly dataSource?: Partial<DataSourceOptions>;
}

/** An app with one batch handler, and the numbers that each call of it got. */
async function start(
  handle: Handle,
  { kind = 'redis', namespace = newNamespace(), events, dataSource, ...options }: Setup = {},
) {
  const calls: string[] = [];
  const app: TestApp = await startApp({
    url: backends.database.url,
    ...(dataSource !== undefined && { dataSource }),
    events: {
      namespace,
      queue: backends[kind],
      rescue: { after: '1h', interval: '1h' },
      defaults: { backoff: 5 },
      ...events,
      queues: { default: {}, idle: {}, narrow: { concurrency: 2 } },
    },
    providers: [
      onBatch(PageViewed, { id: 'counts', batch: { size: 100 }, ...options }, (list, context) => {
        calls.push(`${context.attempt}: ${list.map(({ data }) => data.n).join(' ')}`);
        return handle(list as readonly Viewed[], context, app);
      }),
    ],
  });
  await app.dataSource.query('CREATE TABLE IF NOT EXISTS effects (n integer)');
  await app.dataSource.query('TRUNCATE effects');
  return { app, namespace, calls };
}

function emitUpTo(app: TestApp, count: number): Promise<unknown> {
  return app.dataSource.transaction(() =>
    app.bus.emitMany(upTo(count).map((n) => [PageViewed, { n }] as const)),
  );
}

const numbers = (events: readonly Viewed[]) => events.map(({ data }) => data.n);

/** `status attempts` of each delivery. */
async function states(app: TestApp, namespace: string): Promise<string[]> {
  const rows = await readDeliveries(app.dataSource, namespace);
  return rows.map(({ status, attempts }) => `${status} ${attempts}`);
}

function effect({ manager }: Pick<HandlerContext, 'manager'>, n: number): Promise<unknown> {
  return manager.sql`INSERT INTO effects VALUES (${n})`;
}

async function effects({ dataSource }: TestApp): Promise<number[]> {
  const rows: { n: number }[] = await dataSource.query('SELECT n FROM effects');
  return sorted(rows.map(({ n }) => n));
}

function completedTimes(app: TestApp, count: number) {
  return countSignals(app.signals, 'delivery.completed', count);
}

describe.each(QUEUE_KINDS)('a batch handler, on BullMQ with %s', (kind) => {
  it('gets what waits in lists of its size; each event is completed by itself', async () => {
    const namespace = newNamespace();
    const idle = await start(() => undefined, {
      kind,
      namespace,
      events: { workers: { queues: ['idle'] } },
    });
    const pushed = nextSignal(idle.app.signals, 'relay.pushed');
    await emitUpTo(idle.app, 250);
    await pushed;
    await idle.app.close();
    const bull = await openBull(backends, kind, namespace);
    expect(await jobCount(bull)).toBe(3);
    const sizes: number[] = [];
    const seen: number[] = [];
    const { app } = await start(
      (events) => {
        sizes.push(events.length);
        seen.push(...numbers(events));
      },
      { kind, namespace },
    );
    await eventually(
      async () => (await states(app, namespace)).every((state) => state === 'completed 1'),
      { what: 'all are completed' },
    );
    expect(sorted(sizes)).toEqual([50, 100, 100]);
    expect(sorted(seen)).toEqual(upTo(250));
    await eventually(async () => (await jobCount(bull)) === 0, { what: 'no job is left' });
  });

  it('gets events of several transactions together, where it waits for them', async () => {
    const { app, calls } = await start(() => undefined, {
      kind,
      batch: { size: 5, wait: '5s' },
    });
    const completed = completedTimes(app, 5);
    for (const n of upTo(5)) await emitIn(app, PageViewed, { n });
    await completed;
    expect(calls).toHaveLength(1);
  });

  it('names those that it could not handle: only these are tried again, each alone', async () => {
    const { app, namespace, calls } = await start(
      (events, { attempt }): BatchResult => ({
        failed: events
          .filter(({ data }) => data.n % 10 === 2 && attempt < 3)
          .map((event) => ({ event, error: new Error(`no ${event.data.n}`) })),
      }),
      { kind },
    );
    const failed = recordSignals(app.signals, 'delivery.failed');
    const completed = completedTimes(app, 20);
    await emitUpTo(app, 20);
    await completed;
    expect(calls.slice(1).toSorted()).toEqual(['2: 12', '2: 2', '3: 12', '3: 2']);
    expect(failed.map(({ error }) => (error as Error).message).toSorted()).toEqual([
      'no 12',
      'no 12',
      'no 2',
      'no 2',
    ]);
    expect(await states(app, namespace)).toEqual(
      upTo(20).map((n) => `completed ${n % 10 === 2 ? 3 : 1}`),
    );
  });

  it('that throws is tried again with each alone: one bad event kills no other', async () => {
    const { app, namespace, calls } = await start(
      (events) => {
        if (numbers(events).includes(3)) throw new Error('not 3');
      },
      { kind, attempts: 3 },
    );
    const dead = nextSignal(app.signals, 'delivery.dead');
    const completed = completedTimes(app, 4);
    await emitUpTo(app, 5);
    expect(await dead).toMatchObject({ position: 3, attempt: 3, error: new Error('not 3') });
    await completed;
    expect(calls.toSorted()).toEqual([
      '1: 1 2 3 4 5',
      '2: 1',
      '2: 2',
      '2: 3',
      '2: 4',
      '2: 5',
      '3: 3',
    ]);
    expect(await states(app, namespace)).toEqual([
      'completed 2',
      'completed 2',
      'dead 3',
      'completed 2',
      'completed 2',
    ]);
  });

  it('transactional: commits effects, emits and completions together, once', async () => {
    const before: unknown[] = [];
    const { app, namespace, calls } = await start(
      async (events, context, { bus, dataSource }) => {
        for (const { data } of events) await effect(context, data.n);
        await bus.emit(Counted, { n: events.length });
        const seen = await readDeliveries(dataSource, namespace);
        before.push(await effects(app), new Set(seen.map(({ status }) => status)));
      },
      { kind, transactional: true },
    );
    const counted = nextSignal(
      app.signals,
      'relay.moved',
      ({ lastPosition }) => lastPosition === 31,
    );
    const completed = completedTimes(app, 30);
    await emitUpTo(app, 30);
    await completed;
    await counted;
    // Another connection saw nothing of it until it was all there.
    expect(before).toEqual([[], new Set(['queued'])]);
    expect(calls).toHaveLength(1);
    expect(await effects(app)).toEqual(upTo(30));
    expect(new Set(await states(app, namespace))).toEqual(new Set(['completed 1']));
  });
});

describe('a batch', () => {
  it('of which nothing may fail twice: with one attempt, each gets one more alone', async () => {
    const { app, namespace, calls } = await start(
      (events) => {
        if (numbers(events).includes(2)) throw new Error('not 2');
      },
      { attempts: 1 },
    );
    const dead = nextSignal(app.signals, 'delivery.dead');
    const completed = completedTimes(app, 2);
    await emitUpTo(app, 3);
    await Promise.all([dead, completed]);
    expect(calls.toSorted()).toEqual(['1: 1 2 3', '2: 1', '2: 2', '2: 3']);
    expect(await states(app, namespace)).toEqual(['completed 2', 'dead 2', 'completed 2']);
  });

  it('is not lost as a whole to an UnrecoverableEventError, which is about one of them', async () => {
    const { app, namespace } = await start((events) => {
      if (numbers(events).includes(2)) throw new UnrecoverableEventError('page 2 is gone');
    });
    const dead = nextSignal(app.signals, 'delivery.dead');
    const completed = completedTimes(app, 2);
    await emitUpTo(app, 3);
    await completed;
    expect(await dead).toMatchObject({ position: 2, attempt: 2, unrecoverable: true });
    expect(await states(app, namespace)).toEqual(['completed 2', 'dead 2', 'completed 2']);
  });

  it('that reports an UnrecoverableEventError has one dead letter, at once', async () => {
    const { app, namespace, calls } = await start((events) => ({
      failed: events
        .filter(({ data }) => data.n === 2)
        .map((event) => ({ event, error: new UnrecoverableEventError('page 2 is gone') })),
    }));
    const dead = nextSignal(app.signals, 'delivery.dead');
    const completed = completedTimes(app, 2);
    await emitUpTo(app, 3);
    await completed;
    expect(await dead).toMatchObject({ position: 2, attempt: 1, unrecoverable: true });
    expect(calls).toEqual(['1: 1 2 3']);
    expect(await states(app, namespace)).toEqual(['completed 1', 'dead 1', 'completed 1']);
  });

  it.each<[string, unknown, RegExp]>([
    [
      'an array',
      [],
      /^TypeError: .*an array.*Return nothing, or \{ failed: \[\{ event, error \}\] \}/,
    ],
    [
      'another event',
      { failed: [{ event: { eventId: 'e' }, error: 'no' }] },
      /that it did not get/,
    ],
  ])(
    'whose handler returns %s has failed, and says what to return',
    async (_what, result, message) => {
      const { app, namespace } = await start(() => result, { attempts: 2 });
      const dead = countSignals(app.signals, 'delivery.dead', 2);
      await emitUpTo(app, 2);
      await dead;
      const rows = await readDeliveries(app.dataSource, namespace);
      expect(rows).toMatchObject(upTo(2).map(() => ({ status: 'dead', attempts: 2 })));
      for (const row of rows) expect(row.last_error).toMatch(message);
    },
  );

  it('has failed when it takes longer than its timeout', async () => {
    const { app, namespace, calls } = await start(
      (_events, { attempt }) => (attempt > 1 ? undefined : new Promise(() => {})),
      { timeout: 40 },
    );
    const failed = countSignals(app.signals, 'delivery.failed', 3);
    const completed = completedTimes(app, 3);
    await emitUpTo(app, 3);
    for (const { error } of await failed) expect(error).toBeInstanceOf(HandlerTimeoutError);
    await completed;
    expect(calls.toSorted()).toEqual(['1: 1 2 3', '2: 1', '2: 2', '2: 3']);
    expect(await states(app, namespace)).toEqual(upTo(3).map(() => 'completed 2'));
  });

  it('that waits is run when the application is shut down, and waits no longer', async () => {
    const queries = new QueryLog();
    const { app, namespace, calls } = await start(() => undefined, {
      batch: { size: 100, wait: '5s' },
      dataSource: { logger: queries },
    });
    // The first look after the queue asks for states, too.
    await marked(app, await openBull(backends, 'redis', namespace), namespace);
    const completed = recordSignals(app.signals, 'delivery.completed');
    await emitUpTo(app, 3);
    // Its job is run: it has asked for the states of its deliveries.
    await queries.sent('d.status, d.epoch', 1);
    const at = performance.now();
    await app.close();
    expect(performance.now() - at).toBeLessThan(4_000);
    expect(calls).toEqual(['1: 1 2 3']);
    expect(completed).toHaveLength(3);
  });

  it('runs no more calls at once than its queue has jobs', async () => {
    let running = 0;
    let most = 0;
    const full = deferred();
    const { app } = await start(
      async () => {
        most = Math.max(most, ++running);
        if (running === 2) full.resolve();
        await full.promise;
        await new Promise((resolve) => setTimeout(resolve, 5));
        running--;
      },
      { batch: { size: 5 }, queue: 'narrow' },
    );
    const completed = completedTimes(app, 60);
    await emitUpTo(app, 60);
    await completed;
    expect(most).toBe(2);
  });
});

describe('a transactional batch', () => {
  it('keeps what it has done for the others where it reports failures', async () => {
    const { app, namespace, calls } = await start(
      async (events, context): Promise<BatchResult> => {
        const failed = events.filter(({ data }) => data.n === 2 && context.attempt === 1);
        for (const event of events)
          if (!failed.includes(event)) await effect(context, event.data.n);
        return { failed: failed.map((event) => ({ event, error: 'locked' })) };
      },
      { transactional: true },
    );
    const completed = completedTimes(app, 3);
    await emitUpTo(app, 3);
    await completed;
    expect(calls).toEqual(['1: 1 2 3', '2: 2']);
    expect(await effects(app)).toEqual([1, 2, 3]);
    expect(await states(app, namespace)).toEqual(['completed 1', 'completed 2', 'completed 1']);
  });

  it('leaves nothing where it throws', async () => {
    const { app, namespace } = await start(
      async (events, context, { bus }) => {
        for (const { data } of events) await effect(context, data.n);
        await bus.emit(Counted, { n: 1 });
        if (events.length > 1) throw new Error('too late');
      },
      { transactional: true },
    );
    const completed = completedTimes(app, 3);
    const moved = nextSignal(app.signals, 'relay.moved', ({ lastPosition }) => lastPosition === 6);
    await emitUpTo(app, 3);
    await completed;
    await moved;
    expect(await effects(app)).toEqual([1, 2, 3]);
    expect(await states(app, namespace)).toEqual(upTo(3).map(() => 'completed 2'));
  });

  it('D8: is rolled back where another run has completed a part of it', async () => {
    const { app, namespace, calls } = await start(
      async (events, context) => {
        for (const { data } of events) await effect(context, data.n);
        if (events.length < 3) return;
        await app.dataSource.sql`
          UPDATE events_deliveries SET status = 'completed', attempts = 1, rescue_at = NULL
          WHERE namespace = ${namespace} AND position = 2`;
      },
      { transactional: true },
    );
    const postponed = countSignals(app.signals, 'delivery.postponed', 3);
    const completed = completedTimes(app, 2);
    await emitUpTo(app, 3);
    expect(String((await postponed)[0]?.error)).toMatch(/another run has completed a part/);
    await completed;
    expect(calls).toEqual(['1: 1 2 3', '1: 1 3']);
    expect(await effects(app)).toEqual([1, 3]);
    expect(await states(app, namespace)).toEqual(upTo(3).map(() => 'completed 1'));
  });

  it('has failed where it sends COMMIT, and completes nothing', async () => {
    const { app, namespace, calls } = await start(
      async (events, context) => {
        for (const { data } of events) await effect(context, data.n);
        if (context.attempt === 1) await context.manager.query('COMMIT');
      },
      { transactional: true },
    );
    const failed = countSignals(app.signals, 'delivery.failed', 3);
    const completed = completedTimes(app, 3);
    await emitUpTo(app, 3);
    for (const { error } of await failed) {
      expect(error).toBeInstanceOf(EventTransactionFailedError);
    }
    await completed;
    expect(calls.toSorted()).toEqual(['1: 1 2 3', '2: 1', '2: 2', '2: 3']);
    // What it has committed by itself stays, as with any handler.
    expect(await effects(app)).toEqual([1, 1, 2, 2, 3, 3]);
    expect(await states(app, namespace)).toEqual(upTo(3).map(() => 'completed 2'));
  });
});

describe('what a batch handler is about', () => {
  it('is its request, where it is request-scoped', async () => {
    const requests: unknown[] = [];
    @Injectable({ scope: Scope.REQUEST })
    class Scoped {
      constructor(
        @Inject(REQUEST)
        private readonly request: { events: readonly DomainEvent[]; context: HandlerContext },
      ) {}

      @EventHandler(PageViewed, { id: 'scoped', batch: { size: 10 } })
      count(events: readonly Viewed[], context: HandlerContext): void {
        expect(this.request).toEqual({ events, context });
        requests.push(this.request);
      }
    }
    const app = await startApp({
      url: backends.database.url,
      events: { namespace: newNamespace(), queue: backends.redis },
      providers: [Scoped as Provider],
    });
    const completed = completedTimes(app, 3);
    await emitUpTo(app, 3);
    await completed;
    expect(requests).toHaveLength(1);
  });

  it('causes what it emits, if it is one event; of several none does', async () => {
    const emitted: { eventId: string; of: string[] }[] = [];
    const { app } = await start(
      async (events, _context, { bus }) => {
        const { eventId } = await bus.emit(Counted, { n: events.length });
        emitted.push({ eventId, of: events.map((event) => event.eventId) });
      },
      { transactional: true },
    );
    const one = completedTimes(app, 1);
    await emitUpTo(app, 1);
    await one;
    const several = completedTimes(app, 3);
    await emitUpTo(app, 3);
    await several;
    const causes = await Promise.all(
      emitted.map(async ({ eventId }) => (await app.log.get(eventId))?.causationId),
    );
    expect(emitted.map(({ of }) => of.length)).toEqual([1, 3]);
    expect(causes[0]).toBe(emitted[0]?.of[0]);
    expect(causes[1]).toBeUndefined();
  });
});
