import { setTimeout as pause } from 'node:timers/promises';
import { defineEvent } from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { FRESH_MS } from '../../lib/handle/fresh-state.js';
import { QUEUE_KINDS } from '../support/bull.js';
import { sql } from '../support/database.js';
import { readDeliveries, readPositions } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { countSignals, nextSignal, recordSignals } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { eventually } from '../support/wait.js';

const Happened = defineEvent<{ n: number | string }>('happened');

let backends: TestBackends;
let other: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
  other = await createTestBackends();
});
afterAll(async () => {
  await backends.drop();
  await other.drop();
});

it('two services with one namespace and one Redis get their own events only', async () => {
  const namespace = newNamespace();
  const start = async (name: string, url: string) => {
    const seen: unknown[] = [];
    const app = await startApp({
      url,
      events: { namespace, queue: backends.redis },
      providers: [onEvent(Happened, { id: 'audit' }, ({ data }) => seen.push(data.n))],
    });
    return { name, app, seen, completed: countSignals(app.signals, 'delivery.completed', 20) };
  };
  const services = await Promise.all([
    start('a', backends.database.url),
    start('b', other.database.url),
  ]);
  for (let n = 1; n <= 20; n++) {
    await Promise.all(services.map(({ app, name }) => emitIn(app, Happened, { n: `${name}${n}` })));
  }
  for (const { name, seen, completed } of services) {
    await completed;
    expect(seen.filter((n) => !String(n).startsWith(name))).toEqual([]);
    expect(new Set(seen).size).toBe(20);
  }
});

describe.each(QUEUE_KINDS)('on %s', (kind) => {
  it('a job of an event whose position was given to another one handles the other one', async () => {
    const namespace = newNamespace();
    const seen: unknown[] = [];
    const options = {
      url: backends.database.url,
      providers: [onEvent(Happened, { id: 'noted' }, ({ data }) => seen.push(data.n))],
    };
    const events = { namespace, queue: backends[kind], queues: { later: {} } };
    const idle = await startApp({
      ...options,
      events: { ...events, workers: { queues: ['later'] } },
    });
    const pushed = nextSignal(idle.signals, 'relay.pushed');
    await emitIn(idle, Happened, { n: 'old' });
    await pushed;
    // As after a restored backup: the job is there, and its position means something else.
    await idle.dataSource.sql`
      UPDATE events_log SET event_id = ${() => sql.uuid}, data = '{"n":"new"}'
      WHERE namespace = ${namespace}`;
    await idle.close();
    await pause(FRESH_MS);
    const app = await startApp({ ...options, events });
    const completed = () => readDeliveries(app.dataSource, namespace);
    await eventually(async () => (await completed())[0]?.status === 'completed', {
      what: 'the delivery is completed',
    });
    expect(seen).toEqual(['new']);
  });
});

it('goes on after somebody emptied the relay table, with positions that were never used', async () => {
  const namespace = newNamespace();
  const app = await startApp({
    url: backends.database.url,
    events: { namespace, queue: backends.redis },
    providers: [onEvent(Happened, { id: 'noted' }, () => undefined)],
  });
  const first = nextSignal(app.signals, 'delivery.completed');
  await emitIn(app, Happened, { n: 1 });
  await first;
  await app.dataSource.sql`DELETE FROM events_relay WHERE namespace = ${namespace}`;
  const second = nextSignal(app.signals, 'delivery.completed');
  await emitIn(app, Happened, { n: 2 });
  await second;
  expect(await readPositions(app.dataSource, namespace)).toEqual([1, 2]);
});

it('an old process that boots beside a new one gets no deliveries for the id that was renamed', async () => {
  const namespace = newNamespace();
  const events = { namespace, queue: backends.redis };
  const { url } = backends.database;
  const ran: string[] = [];
  const renamed = await startApp({
    url,
    events,
    providers: [onEvent(Happened, { id: 'new', aliases: ['old'] }, () => ran.push('new'))],
  });
  await startApp({
    url,
    // It would park what it has no handler for, for ever longer; that is not what this is about.
    events: { ...events, queues: { other: {} }, workers: { queues: ['other'] } },
    providers: [onEvent(Happened, { id: 'old' }, () => ran.push('old'))],
  });
  const pushed = nextSignal(renamed.signals, 'relay.pushed');
  await emitIn(renamed, Happened, { n: 1 });
  await eventually(
    async () =>
      (await readDeliveries(renamed.dataSource, namespace)).some(
        ({ status }) => status === 'completed',
      ),
    { what: 'the event is handled' },
  );
  pushed.catch(() => undefined); // The other process may have relayed it.
  const deliveries = await readDeliveries(renamed.dataSource, namespace);
  expect(deliveries.map(({ handler }) => handler)).toEqual(['new']);
  expect(ran).toEqual(['new']);
});

it('listeners of signals that throw change nothing, and are told of', async () => {
  const app = await startApp({
    url: backends.database.url,
    events: { namespace: newNamespace(), queue: backends.redis },
    providers: [onEvent(Happened, { id: 'noted' }, () => undefined)],
  });
  const warnings: string[] = [];
  const listen = ({ message }: Error) => void warnings.push(message);
  process.on('warning', listen);
  onTestFinished(() => void process.off('warning', listen));
  for (const name of ['event.emitted', 'relay.moved', 'delivery.started'] as const) {
    app.signals.on(name, () => {
      throw new Error(`the listener of ${name} fails`);
    });
  }
  const failures = recordSignals(app.signals, 'relay.failed');
  const completed = nextSignal(app.signals, 'delivery.completed');
  await emitIn(app, Happened, { n: 1 });
  await completed;
  expect(failures).toEqual([]);
  expect(warnings).toContainEqual(expect.stringMatching(/event\.emitted.*fails/));
});
