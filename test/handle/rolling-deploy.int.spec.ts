import { defineEvent, type EventDefinition, type HandlerOptions } from 'nestjs-durable-events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { QUEUE_KINDS, type QueueKind } from '../support/bull.js';
import { readDeliveries, sorted, upTo } from '../support/deliveries.js';
import { openDataSource } from '../support/data-source.js';
import { sql } from '../support/database.js';
import { onEvent } from '../support/inline-handler.js';
import { nextSignal } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestApp, type TestBackends } from '../support/test-app.js';
import { eventually } from '../support/wait.js';

const Placed = defineEvent<{ n: number }>('order.placed');

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

/** A release of an application: what its handlers are called. */
function release(
  kind: QueueKind,
  namespace: string,
  handled: number[],
  handler: { id: string; aliases?: string[] },
): Promise<TestApp> {
  return startApp({
    url: backends.database.url,
    events: { namespace, queue: backends[kind] },
    providers: [onEvent(Placed, handler, ({ data }) => handled.push(data.n))],
  });
}

it.each(QUEUE_KINDS)(
  'a rolling deploy that renames a handler handles each event once, on BullMQ with %s',
  async (kind) => {
    const namespace = newNamespace();
    const handled: number[] = [];
    let last = 0;
    const emit = (app: TestApp) =>
      app.dataSource.transaction(() =>
        app.bus.emitMany(upTo(40).map(() => [Placed, { n: ++last }] as const)),
      );
    const before = { id: 'Mails.onOrder' };
    const after = { id: 'mails.confirmation', aliases: ['Mails.onOrder'] };

    const old1 = await release(kind, namespace, handled, before);
    const old2 = await release(kind, namespace, handled, before);
    await emit(old1);
    const new1 = await release(kind, namespace, handled, after);
    await Promise.all([emit(old1), emit(new1)]);
    await old1.close();
    // An old one that crashes during the deploy comes back as it was, and says that it is there.
    await old2.close();
    const old2again = await release(kind, namespace, handled, before);
    await Promise.all([emit(old2again), emit(new1)]);
    const new2 = await release(kind, namespace, handled, after);
    await old2again.close();
    await emit(new2);

    await eventually(async () => (await new1.health.check()).ledger.completed === last, {
      what: `all ${last} are completed`,
    });
    expect(sorted(handled)).toEqual(upTo(last));
    const deliveries = await readDeliveries(new1.dataSource, namespace);
    expect(new Set(deliveries.map(({ attempts }) => attempts))).toEqual(new Set([1]));
    expect(deliveries.at(-1)!.handler).toBe('mails.confirmation');
    expect((await new1.health.check()).ledger).toMatchObject({ delivered: last, difference: 0 });
  },
);

const Paid = defineEvent<{ n: number }>('order.paid');

it('a new event of a handler is not lost when an old process boots during the deploy', async () => {
  const namespace = newNamespace();
  const handled: string[] = [];
  const boot = (events: readonly EventDefinition[]) =>
    startApp({
      url: backends.database.url,
      events: { namespace, queue: backends.redis },
      providers: [onEvent(events, { id: 'h' }, ({ name }) => handled.push(name))],
    });
  const now = await boot([Placed, Paid]);
  const crashed = await boot([Placed]);
  await crashed.close();
  await emitIn(now, Paid, { n: 1 });
  await eventually(() => handled.length > 0, { what: 'it is handled' });
  expect(handled).toEqual(['order.paid']);
});

it('a rename that is rolled back goes to the old handler again, and then forward', async () => {
  const namespace = newNamespace();
  const boot = (handler: HandlerOptions & { id: string }) =>
    startApp({
      url: backends.database.url,
      events: { namespace, queue: backends.redis },
      providers: [onEvent(Placed, handler, () => undefined)],
    });
  const renamed = await boot({ id: 'new', aliases: ['old'] });
  await renamed.close();
  await renamedHoursAgo();
  const rolledBack = await boot({ id: 'old' });
  const first = nextSignal(rolledBack.signals, 'delivery.completed');
  await emitIn(rolledBack, Placed, { n: 1 });
  expect((await first).handler).toBe('old');
  const again = await boot({ id: 'new', aliases: ['old'] });
  await emitIn(again, Placed, { n: 2 });
  // Whose worker takes its job is left to chance while the old process is there.
  const deliveries = await eventually(
    async () => {
      const rows = await readDeliveries(again.dataSource, namespace);
      return rows.length === 2 ? rows : undefined;
    },
    { what: 'the second event is relayed' },
  );
  expect(deliveries.map(({ handler }) => handler)).toEqual(['old', 'new']);

  async function renamedHoursAgo(): Promise<void> {
    const admin = await openDataSource(backends.database.url);
    await admin.sql`
      UPDATE events_handlers SET last_seen_at = ${() => sql.after(-3 * 3_600_000)}
      WHERE namespace = ${namespace}`;
    await admin.destroy();
  }
});

it('B8: an event that only the new release of a handler takes waits for a process that has it', async () => {
  const namespace = newNamespace();
  const handled: string[] = [];
  const boot = (version: string, events: readonly EventDefinition[]) =>
    startApp({
      url: backends.database.url,
      events: { namespace, queue: backends.redis },
      providers: [onEvent(events, { id: 'h' }, ({ name }) => handled.push(`${version} ${name}`))],
    });
  const now = await boot('new', [Placed, Paid]);
  await now.close();
  const old = await boot('old', [Placed]);
  const parked = nextSignal(old.signals, 'delivery.parked');
  await emitIn(old, 'order.paid', { n: 1 });
  await parked;
  await boot('new', [Placed, Paid]);
  await old.close();
  await eventually(() => handled.length > 0, { what: 'the new release handles it' });
  expect(handled).toEqual(['new order.paid']);
});
