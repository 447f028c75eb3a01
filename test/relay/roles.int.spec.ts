import { defineEvent } from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openBull, QUEUE_KINDS } from '../support/bull.js';
import { readDeliveries } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { nextSignal, recordSignals } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { eventually } from '../support/wait.js';

const Happened = defineEvent<{ n: number }>('happened');
const NOBODY = { redis: 'redis://127.0.0.1:1' };

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

describe.each(QUEUE_KINDS)('roles of processes, on BullMQ with %s', (kind) => {
  it('one emits by name, one relays, one works: the handler gets the event', async () => {
    const namespace = newNamespace();
    const url = backends.database.url;
    const handled: unknown[] = [];
    const works = await startApp({
      url,
      events: { namespace, queue: backends[kind], relay: { enabled: false } },
      providers: [onEvent('happened', { id: 'elsewhere' }, ({ data }) => handled.push(data))],
    });
    const relays = await startApp({
      url,
      events: { namespace, queue: backends[kind], workers: { enabled: false } },
    });
    const emits = await startApp({
      url,
      // It never asks for a queue, so that one out of reach is none of its business.
      events: { namespace, queue: NOBODY, relay: { enabled: false }, workers: { enabled: false } },
    });
    const moved = recordSignals(works.signals, 'relay.moved');
    const outages = recordSignals(emits.signals, 'queue.unavailable');
    const pushed = nextSignal(relays.signals, 'relay.pushed');
    const completed = nextSignal(works.signals, 'delivery.completed');
    expect(emits.bus.handlersOf('happened')).toMatchObject([{ id: 'elsewhere', local: false }]);
    await emitIn(emits, 'happened', { n: 1 });
    expect(await pushed).toEqual({ deliveries: 1 });
    await completed;
    expect(handled).toEqual([{ n: 1 }]);
    expect(moved).toEqual([]);
    expect(outages).toEqual([]);
  });

  it('a process without workers does not register the handlers in its code', async () => {
    const namespace = newNamespace();
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends[kind], workers: { enabled: false } },
      providers: [onEvent(Happened, { id: 'idle' }, () => undefined)],
    });
    const moved = nextSignal(app.signals, 'relay.moved');
    await emitIn(app, Happened, { n: 1 });
    expect(await moved).toMatchObject({ deliveries: 0 });
  });

  it('a process that works one queue leaves the jobs of others to others', async () => {
    const namespace = newNamespace();
    const ran: string[] = [];
    const start = (name: string, workers: object) =>
      startApp({
        url: backends.database.url,
        events: { namespace, queue: backends[kind], queues: { mail: {} }, workers },
        providers: [
          onEvent(Happened, { id: 'mailed', queue: 'mail' }, () => ran.push(`mailed by ${name}`)),
          onEvent(Happened, { id: 'stored' }, () => ran.push(`stored by ${name}`)),
        ],
      });
    const mailer = await start('mailer', { queues: ['mail'], pollInterval: '200ms' });
    const mailed = nextSignal(mailer.signals, 'delivery.completed');
    await emitIn(mailer, Happened, { n: 1 });
    expect((await mailed).handler).toBe('mailed');
    const waiting = await openBull(backends, kind, namespace);
    await eventually(async () => (await waiting.getWaitingCount()) === 1, {
      what: 'the job of "stored" waits',
    });

    const all = await start('all', { queues: ['default'], pollInterval: '200ms' });
    await eventually(() => ran.length === 2, { what: 'both have run' });
    expect(ran).toEqual(['mailed by mailer', 'stored by all']);
    await eventually(
      async () =>
        (await readDeliveries(all.dataSource, namespace)).every(
          ({ status }) => status === 'completed',
        ),
      { what: 'both deliveries are completed' },
    );
  });
});
