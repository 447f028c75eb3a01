import { DelayedError, RateLimitError, UnrecoverableError, WaitingChildrenError } from 'bullmq';
import { defineEvent } from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jobCount, openBull, QUEUE_KINDS } from '../support/bull.js';
import { onEvent } from '../support/inline-handler.js';
import { nextSignal } from '../support/signals.js';
import { emitIn, newNamespace } from '../support/start-app.js';
import {
  createTestBackends,
  startTestApp,
  type TestApp,
  type TestBackends,
} from '../support/test-app.js';

const Happened = defineEvent<{ n: number }>('happened');

const circular: Record<string, unknown> = {};
circular['self'] = circular;
const hostile = new Proxy(
  {},
  {
    get: () => {
      throw new Error('hands off');
    },
    getPrototypeOf: () => {
      throw new Error('hands off');
    },
  },
);

/** What a handler may throw, and what is recorded of it. */
const THROWN: readonly [what: string, thrown: unknown, recorded: RegExp][] = [
  ['null', null, /not an Error: null/],
  ['undefined', undefined, /not an Error: undefined/],
  ['a string', 'out of paper', /^out of paper$/],
  ['an empty string', '', /^/],
  ['a number', 0, /not an Error: 0/],
  ['a symbol', Symbol('odd'), /Symbol\(odd\)/],
  ['a bigint', 1n, /./],
  ['an object', { code: 7 }, /"code":7/],
  ['a circular object', circular, /./],
  ['an object that throws when it is touched', hostile, /./],
  ["an error named BullMQ's DelayedError", named('DelayedError'), /DelayedError: x/],
  ["an error named BullMQ's WaitingError", named('WaitingError'), /WaitingError: x/],
  ["BullMQ's DelayedError", new DelayedError(), /DelayedError/],
  ["BullMQ's WaitingChildrenError", new WaitingChildrenError(), /WaitingChildrenError/],
  ["BullMQ's RateLimitError", new RateLimitError(), /bullmq:rateLimitExceeded/],
  ['its message alone', new Error('bullmq:rateLimitExceeded'), /bullmq:rateLimitExceeded/],
  ["BullMQ's UnrecoverableError", new UnrecoverableError('over'), /over/],
  ['B7: an error with a NUL', new Error('a\0b'), /Error: ab/],
  ['B7: an error with a lone surrogate', new Error('a\ud800b'), /Error: a\ufffdb/],
  ['B7: an error with a password', new Error('at redis://u:hunter2@h'), /redis:\/\/\*\*\*@h/],
  ['B7: megabytes', new Error('x'.repeat(3_000_000)), /^Error: x{1000}[^]{1,7200}… \(cut\)$/],
  ['a frozen error', Object.freeze(new Error('ice')), /Error: ice/],
  ['an error without a stack', Object.assign(new Error('bare'), { stack: undefined }), /bare/],
  ['an error with a getter that throws', withGetter('message'), /./],
  ['an error whose name is no string', Object.assign(new Error('x'), { name: Symbol('n') }), /./],
  ['several errors', new AggregateError([new Error('one'), null], 'many'), /many/],
];

function named(name: string): Error {
  return Object.assign(new Error('x'), { name });
}

function withGetter(property: string): Error {
  return Object.defineProperty(new Error('x'), property, {
    get: () => {
      throw new Error('hands off');
    },
  });
}

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

describe.each(QUEUE_KINDS)('D10: a handler on BullMQ with %s that throws', (kind) => {
  const namespace = newNamespace();
  let app: TestApp;
  beforeAll(async () => {
    app = await startTestApp({
      url: backends.database.url,
      events: { namespace, queue: backends[kind] },
      providers: [
        onEvent(Happened, { id: 'rejects' }, ({ data }, { attempt }) =>
          // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- it is what is tested
          attempt === 1 ? Promise.reject(THROWN[data.n]![1]) : undefined,
        ),
        onEvent(Happened, { id: 'throws' }, ({ data }, { attempt }) => {
          if (attempt === 1) throw THROWN[data.n]![1];
        }),
      ],
    });
  });
  afterAll(() => app.close());

  it.each(THROWN.map(([what, , recorded], n) => ({ what, recorded, n })))(
    '$what has failed one attempt, like any other',
    async ({ n, recorded }) => {
      const outcomes = ['rejects', 'throws'].flatMap((id) => [
        nextSignal(app.signals, 'delivery.failed', ({ handler }) => handler === id),
        nextSignal(app.signals, 'delivery.completed', ({ handler }) => handler === id),
      ]);
      const { eventId } = await emitIn(app, Happened, { n });
      await Promise.all(outcomes);
      const { deliveries } = (await app.log.get(eventId))!;
      expect(deliveries).toMatchObject([
        { handler: 'rejects', status: 'completed', attempts: 2 },
        { handler: 'throws', status: 'completed', attempts: 2 },
      ]);
      for (const { lastError } of deliveries) expect(lastError).toMatch(recorded);
    },
  );

  it('leaves no job behind', async () => {
    const bull = await openBull(backends, kind, namespace);
    await expect.poll(() => jobCount(bull), { timeout: 5_000 }).toBe(0);
  });
});
