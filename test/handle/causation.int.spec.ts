import { setTimeout as delay } from 'node:timers/promises';
import {
  defineEvent,
  EventTransactionRequiredError,
  type EmittedEvent,
  type EventHistory,
} from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QUEUE_KINDS } from '../support/bull.js';
import { upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { countSignals } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestApp, type TestBackends } from '../support/test-app.js';

const Ordered = defineEvent('ordered');
const Paid = defineEvent('paid');
const Shipped = defineEvent('shipped');
const Arrived = defineEvent('arrived');

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

/** ordered → paid (in the handler's transaction) → shipped (in one of its own) → arrived (alone). */
async function startChain(kind: (typeof QUEUE_KINDS)[number]) {
  const emitted: EmittedEvent[] = [];
  const note = (event: EmittedEvent) => void emitted.push(event);
  const app: TestApp = await startApp({
    url: backends.database.url,
    events: { namespace: newNamespace(), queue: backends[kind] },
    providers: [
      onEvent(Ordered, { id: 'pays', transactional: true }, async () =>
        note(await app.bus.emit(Paid, {})),
      ),
      onEvent(Paid, { id: 'ships' }, async () => {
        // However deep, and however long it takes.
        await delay(5);
        note(
          await app.dataSource
            .transaction(() => Promise.all([app.bus.emit(Shipped, {}), delay(5)]))
            .then(([first]) => first),
        );
      }),
      onEvent(Shipped, { id: 'arrives' }, async () =>
        note(await app.bus.emit(Arrived, {}, { standalone: 'allow' })),
      ),
      onEvent(Arrived, { id: 'ends' }, () => undefined),
    ],
  });
  const history = async () => {
    const found = await Promise.all(emitted.map(({ eventId }) => app.log.get(eventId)));
    return found as EventHistory[];
  };
  return { app, history };
}

describe.each(QUEUE_KINDS)('what handlers emit, on BullMQ with %s', (kind) => {
  it('is caused by the event they handle, and keeps its correlation: the id of the first', async () => {
    const { app, history } = await startChain(kind);
    const completed = countSignals(app.signals, 'delivery.completed', 4);
    const root = await emitIn(app, Ordered);
    await completed;
    const [paid, shipped, arrived] = await history();
    expect(await app.log.get(root.eventId)).toMatchObject({
      causationId: undefined,
      correlationId: undefined,
    });
    const correlationId = root.eventId;
    expect(paid).toMatchObject({ name: 'paid', causationId: root.eventId, correlationId });
    expect(shipped).toMatchObject({ name: 'shipped', causationId: paid!.eventId, correlationId });
    expect(arrived).toMatchObject({
      name: 'arrived',
      causationId: shipped!.eventId,
      correlationId,
    });
  });

  it('keeps a correlation that was given', async () => {
    const { app, history } = await startChain(kind);
    const completed = countSignals(app.signals, 'delivery.completed', 4);
    await emitIn(app, Ordered, {}, { correlationId: 'request-7', causationId: 'command-7' });
    await completed;
    const correlations = (await history()).map(({ correlationId }) => correlationId);
    expect(correlations).toEqual(['request-7', 'request-7', 'request-7']);
  });

  it('is told apart where many handlers run at once', async () => {
    const causes = new Map<string, string>();
    const app: TestApp = await startApp({
      url: backends.database.url,
      events: { namespace: newNamespace(), queue: backends[kind] },
      providers: [
        onEvent(Ordered, { id: 'pays' }, async ({ eventId }) => {
          await delay(Math.random() * 20);
          const paid = await app.dataSource.transaction(async () => {
            await delay(Math.random() * 20);
            return app.bus.emit(Paid, {});
          });
          causes.set(paid.eventId, eventId);
        }),
      ],
    });
    const completed = countSignals(app.signals, 'delivery.completed', 20);
    await Promise.all(upTo(20).map(() => emitIn(app, Ordered)));
    await completed;
    expect(causes.size).toBe(20);
    for (const [paid, cause] of causes) {
      expect(await app.log.get(paid)).toMatchObject({ causationId: cause, correlationId: cause });
    }
  });

  it('needs a transaction: that of the request that emitted is not in reach', async () => {
    const rejected: unknown[] = [];
    const app: TestApp = await startApp({
      url: backends.database.url,
      events: { namespace: newNamespace(), queue: backends[kind], relay: { pollInterval: '20d' } },
      providers: [
        onEvent(Ordered, { id: 'forgets' }, () =>
          app.bus.emit(Paid, {}).catch((error: unknown) => rejected.push(error)),
        ),
      ],
    });
    const completed = countSignals(app.signals, 'delivery.completed', 11);
    await app.dataSource.transaction(async (manager) => {
      await app.bus.emit(Ordered, {});
      await manager.transaction(() => app.bus.emit(Ordered, {}));
      // Another one's commit wakes the relay while this request's transaction is open.
      await Promise.all(upTo(9).map(() => emitIn(app, Ordered)));
    });
    await completed;
    expect(rejected).toHaveLength(11);
    for (const error of rejected) expect(error).toBeInstanceOf(EventTransactionRequiredError);
  });
});
