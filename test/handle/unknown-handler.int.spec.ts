import {
  defineEvent,
  HandlerRegistry,
  type DomainEvent,
  type HandlerContext,
} from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jobCount, openBull, QUEUE_KINDS } from '../support/bull.js';
import { sql } from '../support/database.js';
import { readDeliveries } from '../support/deliveries.js';
import { deliveryIdempotencyKey } from '../../lib/event/event-id.js';
import { onEvent } from '../support/inline-handler.js';
import { countSignals, nextSignal } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { eventually } from '../support/wait.js';

const Happened = defineEvent<{ n: number }>('happened');

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

describe.each(QUEUE_KINDS)('a delivery on BullMQ with %s', (kind) => {
  /** Deploys code with a handler of that id, which does not work the queue: deliveries wait. */
  function deployIdle(namespace: string, id: string) {
    return startApp({
      url: backends.database.url,
      events: {
        namespace,
        queue: backends[kind],
        queues: { other: {} },
        workers: { queues: ['other'] },
      },
      providers: [onEvent(Happened, { id }, () => undefined)],
    });
  }

  it('for a former id of a handler is run by it; the former id gets no new ones', async () => {
    const namespace = newNamespace();
    const old = await deployIdle(namespace, 'Old.name');
    const pushed = nextSignal(old.signals, 'relay.pushed');
    const { eventId } = await emitIn(old, Happened, { n: 1 });
    await pushed;
    await old.close();

    const seen: { event: DomainEvent; context: HandlerContext }[] = [];
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends[kind] },
      providers: [
        onEvent(Happened, { id: 'new.name', aliases: ['Old.name'] }, (event, context) =>
          seen.push({ event, context }),
        ),
      ],
    });
    const isCompleted = async () =>
      (await readDeliveries(app.dataSource, namespace))[0]?.status === 'completed';
    await eventually(isCompleted, { what: 'the waiting delivery is completed' });
    expect(seen[0]!.context.handlerId).toBe('new.name');
    // Whoever has remembered the key must recognize it.
    expect(seen[0]!.event.idempotencyKey).toBe(deliveryIdempotencyKey(eventId, 'Old.name'));

    const completed = nextSignal(app.signals, 'delivery.completed', (each) => each.position === 2);
    await emitIn(app, Happened, { n: 2 });
    expect(await completed).toMatchObject({ handler: 'new.name' });
    expect(app.bus.handlersOf(Happened).map(({ id }) => id)).toEqual(['new.name']);
    expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([
      { position: 1, handler: 'Old.name', status: 'completed', attempts: 1 },
      { position: 2, handler: 'new.name', status: 'completed', attempts: 1 },
    ]);
  });

  it('for a former id is found by the rescue too', async () => {
    const namespace = newNamespace();
    const old = await deployIdle(namespace, 'Old.name');
    const pushed = nextSignal(old.signals, 'relay.pushed');
    await emitIn(old, Happened, { n: 1 });
    await pushed;
    await old.close();
    const bull = await openBull(backends, kind, namespace);
    await bull.obliterate({ force: true });

    const seen: string[] = [];
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends[kind], rescue: { after: 50, interval: 50 } },
      providers: [
        onEvent(Happened, { id: 'new', aliases: ['Old.name'] }, (_event, { handlerId }) =>
          seen.push(handlerId),
        ),
      ],
    });
    await app.dataSource.sql`
      UPDATE events_deliveries SET rescue_at = ${() => sql.now} WHERE namespace = ${namespace}`;
    await eventually(() => seen.length > 0, { what: 'the lost delivery is run' });
    expect(seen).toEqual(['new']);
  });

  it('B8: for a handler that this process does not have is parked, at no cost, for one that has it', async () => {
    const namespace = newNamespace();
    const other = await deployIdle(namespace, 'elsewhere');
    const pushed = nextSignal(other.signals, 'relay.pushed');
    const ignorant = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends[kind], relay: { enabled: false } },
    });
    const parked = countSignals(ignorant.signals, 'delivery.parked', 3);
    await emitIn(other, Happened, { n: 1 });
    await pushed;
    // Soon at first, for a process that has it; then ever more seldom.
    for (const [index, most] of [250, 500, 1_000].entries()) {
      const signal = (await parked)[index]!;
      expect(signal).toMatchObject({ handler: 'elsewhere', position: 1, queue: 'default' });
      expect(signal.retryInMs).toBeGreaterThanOrEqual(most / 2);
      expect(signal.retryInMs).toBeLessThanOrEqual(most);
    }
    await ignorant.close();
    expect(await readDeliveries(other.dataSource, namespace)).toMatchObject([
      { status: 'queued', attempts: 0, last_error: null },
    ]);

    const attempts: number[] = [];
    await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends[kind] },
      providers: [
        onEvent(Happened, { id: 'elsewhere' }, (_event, { attempt }) => attempts.push(attempt)),
      ],
    });
    await eventually(() => attempts.length > 0, { what: 'the parked delivery is run' });
    expect(attempts).toEqual([1]);
  });

  it('of a handler that was retired leaves no job behind', async () => {
    const namespace = newNamespace();
    const old = await deployIdle(namespace, 'gone');
    const pushed = countSignals(old.signals, 'relay.pushed', 1);
    await old.dataSource.transaction(() =>
      old.bus.emitMany([1, 2, 3].map((n) => [Happened, { n }] as const)),
    );
    await pushed;
    await old.close();
    const bull = await openBull(backends, kind, namespace);
    expect(await jobCount(bull)).toBe(3);

    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends[kind] },
    });
    const skipped = countSignals(app.signals, 'delivery.skipped', 3);
    await app.context.get(HandlerRegistry).retire('gone', { force: true });
    expect((await skipped).map(({ reason }) => reason)).toEqual(Array(3).fill('it is dead'));
    await eventually(async () => (await jobCount(bull)) === 0, { what: 'no job is left' });
  });
});
