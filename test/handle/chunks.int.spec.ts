import { setTimeout as pause } from 'node:timers/promises';
import type { Job, Queue } from 'bullmq';
import { defineEvent, type EventsModuleOptions, type HandlerOptions } from 'nestjs-durable-events';
import type { DataSourceOptions } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { DeliveryJobData } from '../../lib/queue/event-queue.js';
import { jobCount, openBull, QUEUE_KINDS, wipeQueue, type QueueKind } from '../support/bull.js';
import { sql } from '../support/database.js';
import { readDeliveries, sorted, upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { marked } from '../support/queue-mark.js';
import { QueryLog } from '../support/query-log.js';
import { BULK_MS, countSignals, nextSignal, recordSignals } from '../support/signals.js';
import { newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestApp, type TestBackends } from '../support/test-app.js';
import { deferred, eventually } from '../support/wait.js';

const Happened = defineEvent<{ n: number }>('happened');
/** These tests bring about by themselves what a rescue would be for. */
const NO_RESCUE = { after: '1h', interval: '1h' } as const;

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

interface Setup {
  readonly kind: QueueKind;
  readonly namespace: string;
  readonly handle: (n: number, attempt: number) => unknown;
  readonly options?: HandlerOptions;
  readonly events?: EventsModuleOptions;
  readonly dataSource?: Partial<DataSourceOptions>;
}

/** An app with one handler. */
function start({ kind, namespace, handle, options, events, dataSource }: Setup): Promise<TestApp> {
  return startApp({
    url: backends.database.url,
    ...(dataSource !== undefined && { dataSource }),
    events: {
      namespace,
      queue: backends[kind],
      rescue: NO_RESCUE,
      ...events,
      queues: { default: {}, idle: {}, ...events?.queues },
    },
    providers: [
      onEvent(Happened, { id: 'noted', ...options }, ({ data }, { attempt }) =>
        handle(data.n, attempt),
      ),
    ],
  });
}

/** The same, but it runs nothing: it only pushes. */
function startIdle(setup: Omit<Setup, 'handle'>): Promise<TestApp> {
  const events = { ...setup.events, workers: { queues: ['idle'] } };
  return start({ ...setup, events, handle: () => undefined });
}

function emitUpTo(app: TestApp, count: number): Promise<unknown> {
  return app.dataSource.transaction(() =>
    app.bus.emitMany(upTo(count).map((n) => [Happened, { n }] as const)),
  );
}

/** Has so many deliveries pushed, and nobody takes them. */
async function push(app: TestApp, count: number): Promise<void> {
  const pushed = nextSignal(app.signals, 'relay.pushed');
  await emitUpTo(app, count);
  await pushed;
}

/** What the jobs of a queue carry, by their ids. */
async function carried(bull: Queue): Promise<Map<string, number[]>> {
  const jobs: Job<DeliveryJobData>[] = await bull.getJobs();
  return new Map(
    jobs
      .toSorted(
        (a, b) => (a.data.deliveries[0]?.position ?? 0) - (b.data.deliveries[0]?.position ?? 0),
      )
      .map(({ id = '', data }) => [id, data.deliveries.map(({ position }) => position)]),
  );
}

async function untilCompleted(app: TestApp, namespace: string, count: number): Promise<void> {
  const completed = async () =>
    (await readDeliveries(app.dataSource, namespace)).filter(({ status }) => status === 'completed')
      .length === count;
  await eventually(completed, { what: `all ${count} are completed` });
}

/** Until so many have been rescued: a look in the very moment they become overdue may take a part. */
async function pushedAgain({ signals }: TestApp, count: number): Promise<void> {
  let left = count;
  await nextSignal(signals, 'rescue.pushed', ({ deliveries }) => (left -= deliveries) === 0);
}

async function untilNoJobIsLeft(bull: Queue): Promise<void> {
  await eventually(async () => (await jobCount(bull)) === 0, { what: 'no job is left' });
}

describe.each(QUEUE_KINDS)('many deliveries of a fast handler, on BullMQ with %s,', (kind) => {
  it('share jobs, and few statements; each is handled once', async () => {
    const namespace = newNamespace();
    const idle = await startIdle({ kind, namespace });
    await push(idle, 300);
    await idle.close();
    const bull = await openBull(backends, kind, namespace);
    expect([...(await carried(bull)).values()].map(({ length }) => length)).toEqual(
      upTo(10).map(() => 30),
    );
    const queries = new QueryLog();
    const handled: number[] = [];
    const app = await start({
      kind,
      namespace,
      handle: (n) => handled.push(n),
      dataSource: { logger: queries },
      events: { relay: { enabled: false } },
    });
    await untilCompleted(app, namespace, 300);
    expect(sorted(handled)).toEqual(upTo(300));
    // (What asks whether all are completed is the test's own.)
    const own = ({ length }: string[]) => length - queries.count('last_error, dead_at');
    // Two for each would be 600. Usually few; some 130 after a stall amid the jobs.
    expect(own(queries.matching(/events_deliveries/))).toBeLessThan(200);
    await untilNoJobIsLeft(bull);
  });

  it('are retried alone where they fail, and take no others along', async () => {
    const namespace = newNamespace();
    const handled: string[] = [];
    const app = await start({
      kind,
      namespace,
      handle: (n, attempt) => {
        handled.push(`${n}/${attempt}`);
        if (n % 40 === 7 && attempt < 3) throw new Error('no');
      },
    });
    const retries = recordSignals(app.signals, 'delivery.failed');
    const completed = countSignals(app.signals, 'delivery.completed', 80);
    await emitUpTo(app, 80);
    await completed;
    const extra = ['7/2', '7/3', '47/2', '47/3'];
    expect(handled.toSorted()).toEqual([...upTo(80).map((n) => `${n}/1`), ...extra].toSorted());
    expect(retries.map(({ position, attempt }) => `${position}/${attempt}`).toSorted()).toEqual([
      '47/1',
      '47/2',
      '7/1',
      '7/2',
    ]);
    const rows = await readDeliveries(app.dataSource, namespace);
    expect(rows.map(({ attempts }) => attempts)).toEqual(
      upTo(80).map((n) => (n % 40 === 7 ? 3 : 1)),
    );
    await untilNoJobIsLeft(await openBull(backends, kind, namespace));
  });

  it('are not held up by one that hangs', async () => {
    const namespace = newNamespace();
    const release = deferred();
    const handled: number[] = [];
    const app = await start({
      kind,
      namespace,
      handle: async (n) => {
        if (n === 1) await release.promise;
        handled.push(n);
      },
    });
    const others = countSignals(app.signals, 'delivery.completed', 199);
    await emitUpTo(app, 200);
    await others;
    expect(sorted(handled)).toEqual(upTo(200).slice(1));
    const last = nextSignal(app.signals, 'delivery.completed');
    release.resolve();
    await last;
    expect(sorted(handled)).toEqual(upTo(200));
    await untilNoJobIsLeft(await openBull(backends, kind, namespace));
  });

  it('spread over all that a queue runs at once, where they turn out to be slow', async () => {
    const namespace = newNamespace();
    const full = deferred();
    let running = 0;
    let most = 0;
    let runs = 0;
    const app = await start({
      kind,
      namespace,
      handle: async () => {
        runs++;
        most = Math.max(most, ++running);
        // More than there are jobs at first: the first of each job would wait for ever.
        if (running === 20) full.resolve();
        await full.promise;
        await new Promise((resolve) => setTimeout(resolve, 20));
        running--;
      },
      events: { queues: { default: { concurrency: 20 } } },
    });
    const completed = countSignals(app.signals, 'delivery.completed', 60);
    await emitUpTo(app, 60);
    await completed;
    expect([most, runs]).toEqual([20, 60]);
  });

  it('have jobs of their own in a queue with a limiter, which counts jobs', async () => {
    const namespace = newNamespace();
    const queues = { limited: { limiter: { max: 1_000, duration: 1_000 } } };
    const setup = { kind, namespace, options: { queue: 'limited' }, events: { queues } };
    const idle = await startIdle(setup);
    await push(idle, 60);
    const bull = await openBull(backends, kind, namespace, 'limited');
    expect(await jobCount(bull)).toBe(60);
  });

  it('are tried again after an outage of the database in the middle of their job', async () => {
    const namespace = newNamespace();
    const handled: number[] = [];
    const app: TestApp = await start({
      kind,
      namespace,
      handle: async (n) => {
        handled.push(n);
        if (handled.length === 3) await hide(app);
      },
    });
    const postponed = nextSignal(app.signals, 'delivery.postponed');
    await emitUpTo(app, 40);
    await postponed;
    await app.dataSource.query('ALTER TABLE hidden RENAME TO events_deliveries');
    await untilCompleted(app, namespace, 40);
    expect(sorted(new Set(handled))).toEqual(upTo(40));
    const rows = await readDeliveries(app.dataSource, namespace);
    expect(new Set(rows.map(({ attempts }) => attempts))).toEqual(new Set([1]));
  });
});

describe.each(QUEUE_KINDS)('the job of several deliveries, on BullMQ with %s,', (kind) => {
  const makeOverdue = ({ dataSource }: TestApp, namespace: string, which = '') => dataSource.sql`
    UPDATE events_deliveries SET rescue_at = ${() => sql.now}
    WHERE namespace = ${namespace} ${() => which}`;

  /** 60 deliveries whose jobs are lost, and what these carried; nothing is overdue yet. */
  async function lose60(events: EventsModuleOptions = {}) {
    const namespace = newNamespace();
    const idle = await startIdle({ kind, namespace });
    await push(idle, 60);
    await idle.close();
    const bull = await openBull(backends, kind, namespace);
    const before = await carried(bull);
    for (const job of await bull.getJobs()) await job.remove();
    const rescue = { after: '10m', interval: 50 } as const;
    const rescues = await startIdle({ kind, namespace, events: { rescue, ...events } });
    return { rescues, namespace, bull, before };
  }

  it('is left alone by the rescue while it waits', async () => {
    const namespace = newNamespace();
    const idle = await startIdle({
      kind,
      namespace,
      events: { rescue: { after: '10m', interval: 50 } },
    });
    await push(idle, 60);
    const bull = await openBull(backends, kind, namespace);
    const before = await carried(bull);
    expect(before.size).toBe(10);
    const rescued = pushedAgain(idle, 60);
    await makeOverdue(idle, namespace);
    await rescued;
    expect(await carried(bull)).toEqual(before);
    const handled: number[] = [];
    const app = await start({ kind, namespace, handle: (n) => handled.push(n) });
    await untilCompleted(app, namespace, 60);
    await untilNoJobIsLeft(bull);
    expect(sorted(handled)).toEqual(upTo(60));
  });

  it('is brought back whole where it was lost, also over several looks', async () => {
    const { rescues, namespace, bull, before } = await lose60({ relay: { batchSize: 7 } });
    const looks = recordSignals(rescues.signals, 'rescue.pushed');
    const rescued = pushedAgain(rescues, 60);
    await makeOverdue(rescues, namespace);
    await rescued;
    expect(looks.length).toBeGreaterThan(5);
    expect(await carried(bull)).toEqual(before);
  });

  it('is brought back whole where only some of its deliveries are looked at', async () => {
    const { rescues, namespace, bull, before } = await lose60();
    const rescued = pushedAgain(rescues, 15);
    await makeOverdue(rescues, namespace, 'AND position % 4 = 3');
    await rescued;
    expect(await carried(bull)).toEqual(before);
  });

  it('hands on what belongs to others by now, and makes sure that these exist', async () => {
    const namespace = newNamespace();
    const idle = await startIdle({ kind, namespace });
    await push(idle, 60);
    // As a process leaves them that ends before it has pushed what its job's time was over for.
    await idle.dataSource.sql`
      UPDATE events_deliveries SET chunk = 3 WHERE namespace = ${namespace} AND position IN (3, 4)`;
    await idle.dataSource.sql`
      UPDATE events_deliveries SET chunk = NULL WHERE namespace = ${namespace} AND position = 5`;
    await idle.close();
    const handled: number[] = [];
    const app = await start({ kind, namespace, handle: (n) => handled.push(n) });
    await untilCompleted(app, namespace, 60);
    await untilNoJobIsLeft(await openBull(backends, kind, namespace));
    expect(sorted(handled)).toEqual(upTo(60));
  });

  it('runs nothing twice when it is there once more', async () => {
    const namespace = newNamespace();
    const idle = await startIdle({ kind, namespace });
    await push(idle, 60);
    const bull = await openBull(backends, kind, namespace);
    const jobs: Job[] = await bull.getJobs();
    await idle.close();
    const handled: number[] = [];
    const app = await start({ kind, namespace, handle: (n) => handled.push(n) });
    await untilCompleted(app, namespace, 60);
    await untilNoJobIsLeft(bull);
    const skipped = countSignals(app.signals, 'delivery.skipped', 60);
    for (const { name, data, opts } of jobs) await bull.add(name, data, { ...opts });
    expect(new Set((await skipped).map(({ reason }) => reason))).toEqual(
      new Set(['it is completed']),
    );
    expect(sorted(handled)).toEqual(upTo(60));
  });

  it(
    'D5: comes back after a wipe of the queue, each delivery in one of them',
    async () => {
      const namespace = newNamespace();
      const idle = await startIdle({ kind, namespace });
      await push(idle, 200);
      const bull = await openBull(backends, kind, namespace);
      await marked(idle, bull, namespace);
      // A chunk of which a part is done, and one that has failed and waits.
      await idle.dataSource.sql`
        UPDATE events_deliveries SET status = 'completed', rescue_at = NULL
        WHERE namespace = ${namespace} AND position <= 5`;
      await idle.dataSource.sql`
        UPDATE events_deliveries SET chunk = NULL, attempts = 1
        WHERE namespace = ${namespace} AND position = 6`;
      const refilled = nextSignal(idle.signals, 'queue.refilled');
      await wipeQueue(backends, kind);
      expect(await refilled).toMatchObject({ deliveries: 195 });
      const again = await carried(bull);
      expect(sorted([...again.values()].flat())).toEqual(upTo(200).slice(5));
      expect(again.size).toBeLessThan(30);
      await idle.close();
      const handled: number[] = [];
      const app = await start({ kind, namespace, handle: (n) => handled.push(n) });
      await untilCompleted(app, namespace, 200);
      await untilNoJobIsLeft(bull);
      expect(sorted(handled)).toEqual(upTo(200).slice(5));
    },
    BULK_MS,
  );
});

describe.each(QUEUE_KINDS)(
  'a refill of a queue that has its jobs still, on BullMQ with %s,',
  (kind) => {
    it(
      'D5: leaves no delivery without a job, in whatever chunks it was and is; each is handled once',
      async () => {
        const namespace = newNamespace();
        const idle = await startIdle({ kind, namespace });
        await push(idle, 60);
        await push(idle, 40);
        await push(idle, 3);
        const bull = await openBull(backends, kind, namespace);
        await marked(idle, bull, namespace);
        const before = await carried(bull);
        expect([...new Set([...before.values()].map(({ length }) => length))]).toEqual([6, 4, 1]);
        // As after a restored backup of the database.
        await idle.dataSource.sql`
        UPDATE events_relay SET queue_generation = 'another' WHERE namespace = ${namespace}`;
        await idle.close();
        const refills = await startIdle({ kind, namespace });
        // Filled again.
        await marked(refills, bull, namespace);
        expect(await carried(bull)).toEqual(before);
        await refills.close();
        const handled: number[] = [];
        const app = await start({ kind, namespace, handle: (n) => handled.push(n) });
        await untilCompleted(app, namespace, 103);
        await untilNoJobIsLeft(bull);
        expect(handled).toHaveLength(103);
      },
      BULK_MS,
    );
  },
);

async function hide({ dataSource }: TestApp): Promise<void> {
  await dataSource.query('ALTER TABLE events_deliveries RENAME TO hidden');
}

describe.each(QUEUE_KINDS)('a handler whose pace a worker has told, on BullMQ with %s,', (kind) => {
  it('has no more deliveries in a job than it does in 100 ms', async () => {
    const namespace = newNamespace();
    const relays = await startIdle({ kind, namespace });
    const bull = await openBull(backends, kind, namespace);
    const sizes = async () => {
      await push(relays, 100);
      return [...(await carried(bull)).values()].map(({ length }) => length);
    };
    expect(await sizes()).toEqual(upTo(10).map(() => 10));
    const timers = vi.spyOn(globalThis, 'setInterval');
    onTestFinished(() => timers.mockRestore());
    const handle = () => pause(30);
    const works = await start({ kind, namespace, handle, events: { relay: { enabled: false } } });
    await untilCompleted(works, namespace, 100);
    // As it does every minute.
    timers.mock.calls.find(([, ms]) => ms === 60_000)?.[0]();
    const told = async () => {
      const rows = await works.dataSource.sql`
        SELECT options FROM events_handlers WHERE namespace = ${namespace}`;
      return JSON.stringify(rows).includes('perJob');
    };
    await eventually(told, { what: 'the pace is told' });
    await untilNoJobIsLeft(bull);
    await works.close();
    expect(Math.max(...(await sizes()))).toBeLessThanOrEqual(3);
  });
});
