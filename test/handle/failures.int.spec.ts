import { setTimeout as pause } from 'node:timers/promises';
import {
  defineEvent,
  HandlerTimeoutError,
  UnrecoverableEventError,
  type HandlerContext,
} from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FRESH_MS } from '../../lib/handle/fresh-state.js';
import { jobCount, openBull, QUEUE_KINDS } from '../support/bull.js';
import { sql } from '../support/database.js';
import { readDeliveries, upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { countSignals, nextSignal, recordSignals } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestApp, type TestBackends } from '../support/test-app.js';
import { eventually } from '../support/wait.js';

const Happened = defineEvent<{ n: number }>('happened');

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

describe.each(QUEUE_KINDS)('a handler that fails, on BullMQ with %s', (kind) => {
  it('is tried as often as it says, then its delivery is dead; others are not concerned', async () => {
    const namespace = newNamespace();
    const seen: Partial<HandlerContext>[] = [];
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends[kind], defaults: { attempts: 2, backoff: 5 } },
      providers: [
        onEvent(Happened, { id: 'stubborn', attempts: 3 }, (_event, context) => {
          const { handlerId, attempt, maxAttempts, isLastAttempt } = context;
          seen.push({ handlerId, attempt, maxAttempts, isLastAttempt });
          throw new Error(`no, for the ${attempt}. time`);
        }),
        onEvent(Happened, { id: 'default' }, () => {
          throw new Error('no');
        }),
        onEvent(Happened, { id: 'fine' }, () => undefined),
      ],
    });
    const failed = recordSignals(app.signals, 'delivery.failed');
    const dead = countSignals(app.signals, 'delivery.dead', 2);
    const completed = nextSignal(app.signals, 'delivery.completed');
    const { eventId } = await emitIn(app, Happened, { n: 1 });
    await completed;
    expect(await dead).toContainEqual({
      eventId,
      event: 'happened',
      handler: 'stubborn',
      position: 1,
      attempt: 3,
      maxAttempts: 3,
      unrecoverable: false,
      error: new Error('no, for the 3. time'),
    });
    expect(seen).toEqual(
      upTo(3).map((attempt) => ({
        handlerId: 'stubborn',
        attempt,
        maxAttempts: 3,
        isLastAttempt: attempt === 3,
      })),
    );
    expect(failed.filter(({ handler }) => handler === 'stubborn')).toMatchObject([
      { attempt: 1, maxAttempts: 3, retryInMs: 5, error: { message: 'no, for the 1. time' } },
      { attempt: 2, maxAttempts: 3, retryInMs: 5 },
    ]);
    expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([
      { handler: 'default', status: 'dead', attempts: 2, max_attempts: 2 },
      { handler: 'fine', status: 'completed', attempts: 1, last_error: null, dead_at: null },
      {
        handler: 'stubborn',
        status: 'dead',
        attempts: 3,
        max_attempts: 3,
        last_error: expect.stringMatching(/^Error: no, for the 3\. time\n +at /) as string,
        dead_at: expect.any(Date) as Date,
      },
    ]);
    const bull = await openBull(backends, kind, namespace);
    await eventually(async () => (await jobCount(bull)) === 0, { what: 'no job is left' });
  });

  it('is a dead letter at once after an UnrecoverableEventError', async () => {
    const namespace = newNamespace();
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends[kind] },
      providers: [
        onEvent(Happened, { id: 'gone' }, () => {
          throw new UnrecoverableEventError('the order was deleted');
        }),
        onEvent(Happened, { id: 'gone-too', transactional: true }, () => {
          throw new UnrecoverableEventError('the order was deleted');
        }),
      ],
    });
    const failed = recordSignals(app.signals, 'delivery.failed');
    const dead = countSignals(app.signals, 'delivery.dead', 2);
    await emitIn(app, Happened, { n: 1 });
    expect(await dead).toMatchObject(upTo(2).map(() => ({ attempt: 1, unrecoverable: true })));
    expect(failed).toEqual([]);
    for (const row of await readDeliveries(app.dataSource, namespace)) {
      expect(row).toMatchObject({ status: 'dead', attempts: 1, max_attempts: 5 });
      expect(row.last_error).toMatch(/^UnrecoverableEventError: the order was deleted/);
    }
  });

  it('waits its backoff between attempts: fixed, exponential, jitter, or a function', async () => {
    const starts = new Map<string, number[]>();
    const asked: unknown[] = [];
    const fail = (_event: unknown, { handlerId }: HandlerContext) => {
      starts.set(handlerId, [...(starts.get(handlerId) ?? []), performance.now()]);
      throw new Error('busy');
    };
    const app = await startApp({
      url: backends.database.url,
      events: {
        namespace: newNamespace(),
        queue: backends[kind],
        defaults: { attempts: 3, backoff: { type: 'fixed', delay: 150 } },
      },
      providers: [
        onEvent(Happened, { id: 'default' }, fail),
        onEvent(
          Happened,
          { id: 'exponential', backoff: { type: 'exponential', delay: 100 } },
          fail,
        ),
        onEvent(
          Happened,
          { id: 'jitter', backoff: { type: 'fixed', delay: 200, jitter: 0.5 } },
          fail,
        ),
        onEvent(
          Happened,
          {
            id: 'function',
            backoff: (attempt, error) => {
              asked.push([attempt, (error as Error).message]);
              return attempt === 1 ? '120ms' : 40;
            },
          },
          fail,
        ),
      ],
    });
    const failed = recordSignals(app.signals, 'delivery.failed');
    const dead = countSignals(app.signals, 'delivery.dead', 4);
    await emitIn(app, Happened, { n: 1 });
    await dead;
    const waits = (id: string) =>
      failed.filter(({ handler }) => handler === id).map(({ retryInMs }) => retryInMs);
    expect(waits('default')).toEqual([150, 150]);
    expect(waits('exponential')).toEqual([100, 200]);
    expect(waits('function')).toEqual([120, 40]);
    expect(asked).toEqual([
      [1, 'busy'],
      [2, 'busy'],
    ]);
    for (const wait of waits('jitter')) {
      expect(wait).toBeGreaterThanOrEqual(100);
      expect(wait).toBeLessThanOrEqual(200);
    }
    for (const [id, [first, second, third]] of starts) {
      const [a, b] = waits(id);
      // BullMQ rounds to milliseconds of its own clock.
      expect(second! - first!, `${id}, first wait`).toBeGreaterThan(a! - 3);
      expect(third! - second!, `${id}, second wait`).toBeGreaterThan(b! - 3);
    }
  });

  it('is aborted and has failed when it takes longer than its timeout', async () => {
    const namespace = newNamespace();
    const reasons: unknown[] = [];
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends[kind], defaults: { timeout: '40ms', backoff: 0 } },
      providers: [
        onEvent(Happened, { id: 'heeds' }, (_event, { signal, attempt }) => {
          if (attempt > 1) return undefined;
          return new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => {
              reasons.push(signal.reason);
              reject(new Error('stopped'));
            });
          });
        }),
        onEvent(Happened, { id: 'hangs' }, (_event, { attempt }) =>
          attempt > 1 ? undefined : new Promise(() => {}),
        ),
        onEvent(Happened, { id: 'patient', timeout: 0 }, async ({ data }, { signal }) => {
          await hung;
          expect([data.n, signal.aborted]).toEqual([1, false]);
        }),
      ],
    });
    const failed = countSignals(app.signals, 'delivery.failed', 2);
    const completed = countSignals(app.signals, 'delivery.completed', 3);
    const hung = nextSignal(
      app.signals,
      'delivery.completed',
      ({ handler }) => handler === 'hangs',
    );
    await emitIn(app, Happened, { n: 1 });
    for (const { error } of await failed) expect(error).toBeInstanceOf(HandlerTimeoutError);
    await completed;
    expect(reasons).toEqual([expect.any(HandlerTimeoutError)]);
    expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([
      { handler: 'hangs', status: 'completed', attempts: 2 },
      { handler: 'heeds', status: 'completed', attempts: 2 },
      { handler: 'patient', status: 'completed', attempts: 1 },
    ]);
  });

  it('goes on counting its attempts after a restart', async () => {
    const namespace = newNamespace();
    const attempts: number[] = [];
    const start = () =>
      startApp({
        url: backends.database.url,
        events: { namespace, queue: backends[kind], defaults: { attempts: 2, backoff: 300 } },
        providers: [
          onEvent(Happened, { id: 'fails' }, (_event, { attempt }) => {
            attempts.push(attempt);
            throw new Error('no');
          }),
        ],
      });
    const first = await start();
    const failed = nextSignal(first.signals, 'delivery.failed');
    await emitIn(first, Happened, { n: 1 });
    await failed;
    await first.close();
    const second = await start();
    await eventually(
      async () => (await readDeliveries(second.dataSource, namespace))[0]?.status === 'dead',
      { what: 'the delivery is dead' },
    );
    expect(attempts).toEqual([1, 2]);
  });
});

it('a backoff function that fails is replaced by the default, and told', async () => {
  const app = await startApp({
    url: backends.database.url,
    events: { namespace: newNamespace(), queue: backends.redis },
    providers: [
      onEvent(
        Happened,
        {
          id: 'fails',
          attempts: 2,
          backoff: () => {
            throw new Error('no idea');
          },
        },
        (_event, { attempt }) => {
          if (attempt === 1) throw new Error('busy');
        },
      ),
    ],
  });
  const invalid = nextSignal(app.signals, 'backoff.invalid');
  const failed = nextSignal(app.signals, 'delivery.failed');
  const completed = nextSignal(app.signals, 'delivery.completed');
  await emitIn(app, Happened, { n: 1 });
  expect(await invalid).toEqual({ handler: 'fails', error: new Error('no idea') });
  expect((await failed).retryInMs).toBe(10);
  await completed;
});

describe('what is not the fault of the event costs no attempt:', () => {
  it('a connection that was lost under the handler', async () => {
    const namespace = newNamespace();
    const attempts: number[] = [];
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends.redis, defaults: { attempts: 1 } },
      providers: [
        onEvent(Happened, { id: 'queries' }, async (_event, { attempt }) => {
          attempts.push(attempt);
          if (attempts.length > 1) return;
          const runner = app.dataSource.createQueryRunner();
          try {
            const [{ id }] = (await runner.query(`SELECT ${sql.sessionId} AS id`)) as [
              { id: number },
            ];
            const working = runner.query(`SELECT ${sql.sleep(10)}`);
            working.catch(() => undefined);
            await sql.endSession(app.dataSource, id);
            await working;
          } finally {
            await runner.release();
          }
        }),
      ],
    });
    const postponed = nextSignal(app.signals, 'delivery.postponed');
    const completed = nextSignal(app.signals, 'delivery.completed');
    await emitIn(app, Happened, { n: 1 });
    expect(await postponed).toMatchObject({ handler: 'queries', position: 1 });
    await completed;
    expect(attempts).toEqual([1, 1]);
    expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([
      { status: 'completed', attempts: 1, last_error: null },
    ]);
  });

  it.each(['completes', 'fails'])(
    'a database that takes no mark of a handler that %s',
    async (id) => {
      const namespace = newNamespace();
      let runs = 0;
      const app = await startApp({
        url: backends.database.url,
        events: { namespace, queue: backends.redis, defaults: { attempts: 1 } },
        providers: [
          onEvent(Happened, { id }, async () => {
            if (++runs > 1) return;
            await hideDeliveries(app);
            if (id === 'fails') throw new Error('no');
          }),
        ],
      });
      const postponed = nextSignal(app.signals, 'delivery.postponed');
      const completed = nextSignal(app.signals, 'delivery.completed');
      await emitIn(app, Happened, { n: 1 });
      expect(String((await postponed).error)).toMatch(/events_deliveries/);
      await showDeliveries(app);
      await completed;
      expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([
        { status: 'completed', attempts: 1, last_error: null },
      ]);
    },
  );

  it('a database that does not say whether there is something to do', async () => {
    const namespace = newNamespace();
    let runs = 0;
    const start = (queue: string) =>
      startApp({
        url: backends.database.url,
        events: {
          namespace,
          queue: backends.redis,
          queues: { other: {} },
          workers: { queues: [queue] },
          defaults: { attempts: 1 },
        },
        providers: [onEvent(Happened, { id: 'counts' }, () => void runs++)],
      });
    const relays = await start('other');
    const pushed = nextSignal(relays.signals, 'relay.pushed');
    await emitIn(relays, Happened, { n: 1 });
    await pushed;
    await hideDeliveries(relays);
    await pause(FRESH_MS);
    const works = await start('default');
    // It may have been postponed before we listen; it is again and again.
    await nextSignal(works.signals, 'delivery.postponed');
    const completed = nextSignal(works.signals, 'delivery.completed');
    await showDeliveries(works);
    expect(await completed).toMatchObject({ attempt: 1 });
    expect(runs).toBe(1);
  });
});

async function hideDeliveries({ dataSource }: TestApp): Promise<void> {
  await dataSource.query('ALTER TABLE events_deliveries RENAME TO hidden');
}

async function showDeliveries({ dataSource }: TestApp): Promise<void> {
  await dataSource.query('ALTER TABLE hidden RENAME TO events_deliveries');
}
