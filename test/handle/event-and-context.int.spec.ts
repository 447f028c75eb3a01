import { defineEvent, type DomainEvent, type HandlerContext } from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jobCount, openBull, QUEUE_KINDS } from '../support/bull.js';
import { sql } from '../support/database.js';
import { onEvent } from '../support/inline-handler.js';
import { nextSignal } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { eventually } from '../support/wait.js';

const Happened = defineEvent<Record<string, unknown>>('happened', { version: 3 });

/** What JSON carries, the database keeps, and Redis or a parser might not. */
const DATA = {
  text: 'äöü € 😀 \u2028 "quoted" \\ / \n\t',
  numbers: [0, -1, 0.1, 1.5e-300, Number.MAX_SAFE_INTEGER, 5e-324],
  empty: { text: '', list: [], object: {}, nothing: null },
  deep: [[[[{ a: { b: [true, false] } }]]]],
  'odd keys': { '': 1, 'a.b': 2, constructor: 3, toString: 4 },
  digits: '12345678901234567890',
};

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

describe.each(QUEUE_KINDS.flatMap((kind) => ['job', 'log'].map((from) => ({ kind, from }))))(
  'an event that a handler gets from the $from, on BullMQ with $kind',
  ({ kind, from }) => {
    const maxInlineBytes = from === 'job' ? 16_384 : 0;

    it('is the one that was emitted, with all that is known of it', async () => {
      const seen: { event: DomainEvent; context: HandlerContext }[] = [];
      const namespace = newNamespace();
      const app = await startApp({
        url: backends.database.url,
        events: { namespace, queue: backends[kind], maxInlineBytes, defaults: { attempts: 7 } },
        providers: [
          onEvent(Happened, { id: 'noted' }, (event, context) => seen.push({ event, context })),
        ],
      });
      const completed = nextSignal(app.signals, 'delivery.completed');
      const { eventId } = await emitIn(app, Happened, DATA, {
        key: 'k',
        entity: { type: 'order', id: 'o1', version: 4 },
        actor: { type: 'user', id: 'u1' },
        metadata: { ip: '::1', nested: { a: 1 } },
        occurredAt: new Date('2020-02-29T12:34:56.789Z'),
        causationId: 'cause',
        correlationId: 'correlation',
      });
      await completed;
      const [{ event, context }] = seen as [(typeof seen)[number]];
      expect(event).toStrictEqual({
        eventId,
        name: 'happened',
        version: 3,
        data: DATA,
        key: 'k',
        entity: { type: 'order', id: 'o1', version: 4 },
        actor: { type: 'user', id: 'u1' },
        metadata: { ip: '::1', nested: { a: 1 } },
        occurredAt: new Date('2020-02-29T12:34:56.789Z'),
        position: 1,
        idempotencyKey: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
        causationId: 'cause',
        correlationId: 'correlation',
      });
      expect(context).toMatchObject({
        handlerId: 'noted',
        attempt: 1,
        maxAttempts: 7,
        isLastAttempt: false,
      });
      expect(context.signal).toBeInstanceOf(AbortSignal);
      expect(context.signal.aborted).toBe(false);
    });

    it('has what was not given as undefined, and the time of the database', async () => {
      const seen: DomainEvent[] = [];
      const app = await startApp({
        url: backends.database.url,
        events: { namespace: newNamespace(), queue: backends[kind], maxInlineBytes },
        providers: [onEvent(Happened, { id: 'noted' }, (event) => seen.push(event))],
      });
      const completed = nextSignal(app.signals, 'delivery.completed');
      const clock = async () => {
        const rows: { now: Date }[] = await app.dataSource.query(`SELECT ${sql.now} AS now`);
        return rows[0]!.now;
      };
      const before = await clock();
      await emitIn(app, Happened, {});
      await completed;
      const [event] = seen as [DomainEvent];
      expect(event).toMatchObject({
        key: undefined,
        entity: undefined,
        actor: undefined,
        metadata: {},
        causationId: undefined,
        correlationId: undefined,
      });
      expect(event.occurredAt >= before).toBe(true);
      expect(event.occurredAt <= (await clock())).toBe(true);
    });

    it('B5: travels in its job up to the limit', async () => {
      const namespace = newNamespace();
      const app = await startApp({
        url: backends.database.url,
        events: {
          namespace,
          queue: backends[kind],
          queues: { other: {} },
          workers: { queues: ['other'] },
          maxInlineBytes,
        },
        providers: [onEvent(Happened, { id: 'noted' }, () => undefined)],
      });
      await emitIn(app, Happened, { text: 'x'.repeat(2_000) });
      const bull = await openBull(backends, kind, namespace);
      await eventually(async () => (await jobCount(bull)) === 1, { what: 'there is a job' });
      const [job] = await bull.getJobs();
      const size = JSON.stringify(job!.data).length;
      expect({ size, inline: size > 2_000 }).toMatchObject({ inline: from === 'job' });
    });
  },
);

describe('the idempotency key', () => {
  it('is the same in every attempt, and another for another handler or event', async () => {
    const keys = new Map<string, string[]>();
    const note =
      (id: string) =>
      ({ position, idempotencyKey }: DomainEvent, { attempt }: HandlerContext) => {
        const name = `${id} ${position}`;
        keys.set(name, [...(keys.get(name) ?? []), idempotencyKey]);
        if (attempt < 3) throw new Error('again');
      };
    const app = await startApp({
      url: backends.database.url,
      events: { namespace: newNamespace(), queue: backends.redis },
      providers: ['a', 'b'].map((id) => onEvent(Happened, { id }, note(id))),
    });
    for (const position of [1, 2]) {
      const completed = ['a', 'b'].map((id) =>
        nextSignal(
          app.signals,
          'delivery.completed',
          (message) => message.handler === id && message.position === position,
        ),
      );
      const { eventId } = await emitIn(app, Happened);
      await Promise.all(completed);
      for (const { handler, idempotencyKey } of (await app.log.get(eventId))!.deliveries) {
        expect(keys.get(`${handler} ${position}`)).toEqual(Array(3).fill(idempotencyKey));
      }
    }
    expect(new Set([...keys.values()].flat()).size).toBe(4);
  });
});
