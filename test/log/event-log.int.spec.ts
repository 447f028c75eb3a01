import { defineEvent } from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { nextSignal } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestApp, type TestBackends } from '../support/test-app.js';
import { eventually } from '../support/wait.js';

const Placed = defineEvent<{ id: string }>('placed', {
  entity: ({ id }) => ({ type: 'order', id }),
});
const Failed = defineEvent<{ id: string }>('failed', {
  entity: ({ id }) => ({ type: 'order', id }),
});

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

function start(namespace: string, relays = true): Promise<TestApp> {
  return startApp({
    url: backends.database.url,
    events: {
      namespace,
      queue: backends.redis,
      relay: { enabled: relays, pollInterval: '20ms' },
      defaults: { attempts: 1 },
    },
    providers: [
      onEvent([Placed, Failed], { id: 'notes' }, () => undefined),
      onEvent(Failed, { id: 'fails' }, () => {
        throw new Error('as it must');
      }),
    ],
  });
}

describe('EventLog.get', () => {
  it('tells an event and what became of it, before and after it is relayed', async () => {
    const namespace = newNamespace();
    const emitter = await start(namespace, false);
    const before = new Date(Date.now() - 1_000);
    const { eventId } = await emitIn(emitter, Failed, { id: 'o1' }, { metadata: { by: 'test' } });
    const waiting = await emitter.log.get(eventId);
    expect(waiting).toStrictEqual({
      eventId,
      position: undefined,
      name: 'failed',
      version: 1,
      data: { id: 'o1' },
      metadata: { by: 'test' },
      causationId: undefined,
      correlationId: undefined,
      occurredAt: expect.any(Date) as Date,
      deliveries: [],
    });

    const relay = await start(namespace);
    // Whichever of the two apps runs them.
    const ended = async () => {
      const { deliveries = [] } = (await relay.log.get(eventId)) ?? {};
      return deliveries.map(({ status }) => status).join() === 'dead,completed';
    };
    await eventually(ended, { what: 'one delivery is dead, the other one completed' });
    const history = (await relay.log.get(eventId))!;
    expect({ ...history, deliveries: [] }).toStrictEqual({ ...waiting, position: 1 });
    const [dead, completed] = history.deliveries;
    expect(dead).toStrictEqual({
      handler: 'fails',
      status: 'dead',
      attempts: 1,
      maxAttempts: 1,
      lastError: expect.stringMatching(/^Error: as it must/) as string,
      idempotencyKey: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
      queuedAt: expect.any(Date) as Date,
      lastAttemptAt: expect.any(Date) as Date,
      retryAt: undefined,
      completedAt: undefined,
      deadAt: expect.any(Date) as Date,
      discardedAt: undefined,
      discardReason: undefined,
    });
    expect(completed).toMatchObject({
      handler: 'notes',
      status: 'completed',
      lastError: undefined,
      completedAt: expect.any(Date) as Date,
      deadAt: undefined,
    });
    expect(completed!.idempotencyKey).not.toBe(dead!.idempotencyKey);
    for (const { queuedAt, lastAttemptAt } of history.deliveries) {
      expect(queuedAt.getTime()).toBeGreaterThan(before.getTime());
      expect(lastAttemptAt!.getTime()).toBeGreaterThanOrEqual(queuedAt.getTime());
    }
  });

  it.each(['01a1fd12-204d-7069-a96d-b00d38f466b9', 'no-uuid', '', "'; DROP TABLE x", '\0'])(
    'knows no event %j',
    async (eventId) => {
      const app = await start(newNamespace());
      expect(await app.log.get(eventId)).toBeUndefined();
    },
  );

  it('knows no event of another namespace', async () => {
    const app = await start(newNamespace());
    const other = await start(newNamespace());
    const { eventId } = await emitIn(app, Placed, { id: 'o1' });
    expect(await other.log.get(eventId)).toBeUndefined();
    expect(await other.log.ofEntity('order', 'o1')).toEqual([]);
  });
});

describe('EventLog.ofEntity', () => {
  it('lists the events of one thing, oldest first, those that wait last', async () => {
    const app = await start(newNamespace());
    const moved = nextSignal(app.signals, 'relay.moved', ({ lastPosition }) => lastPosition === 4);
    const ids: string[] = [];
    for (const id of ['o1', 'o2', 'o1']) ids.push((await emitIn(app, Placed, { id })).eventId);
    await emitIn(app, Placed, { id: 'o3' }, { entity: { type: 'parcel', id: 'o1' } });
    await moved;
    const late = await emitIn(app, Failed, { id: 'o1' }, { delay: '1h' });
    const history = await app.log.ofEntity('order', 'o1');
    expect(history.map(({ eventId, position }) => [eventId, position])).toEqual([
      [ids[0], 1],
      [ids[2], 3],
      [late.eventId, undefined],
    ]);
    expect(await app.log.ofEntity('parcel', 'o1')).toMatchObject([{ position: 4 }]);
    for (const id of ['unknown', '', '\0']) {
      expect(await app.log.ofEntity('order', id)).toEqual([]);
    }
  });

  it('lists at most as many as asked for, and at least one', async () => {
    const app = await start(newNamespace());
    await app.dataSource.transaction(() =>
      app.bus.emitMany(upTo(105).map(() => [Placed, { id: 'o1' }] as const)),
    );
    const count = async (limit?: number) =>
      (await app.log.ofEntity('order', 'o1', limit === undefined ? {} : { limit })).length;
    expect(await count()).toBe(100);
    expect(await count(7)).toBe(7);
    expect(await count(5_000)).toBe(105);
    expect(await count(Infinity)).toBe(105);
    expect(await count(0)).toBe(1);
    expect(await count(-3)).toBe(1);
    expect(await count(2.7)).toBe(2);
    expect(await count(Number.NaN)).toBe(100);
  });
});
