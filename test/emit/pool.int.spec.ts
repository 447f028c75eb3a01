import { Injectable } from '@nestjs/common';
import { defineEvent, EventHandler, UnknownEventError } from 'nestjs-durable-events';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { pool } from '../support/data-source.js';
import { saveOrder, startEmitApp, toEmitApp, type EmitApp } from '../support/emit-app.js';
import { countSignals } from '../support/signals.js';
import { createTestBackends, startTestApp, type TestBackends } from '../support/test-app.js';

const OrderPlaced = defineEvent<string>('order.placed');

@Injectable()
class Handlers {
  readonly seen: string[] = [];

  @EventHandler(OrderPlaced)
  onOrderPlaced(event: { data: string }): void {
    this.seen.push(event.data);
  }
}

let backends: TestBackends;

beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

describe.each([1, 2])('A11: a pool of %d', (max) => {
  let app: EmitApp;
  beforeAll(async () => {
    app = await startEmitApp(backends.database.url, { dataSource: pool(max) });
  });
  afterEach(() => app.clear());
  afterAll(() => app.close());

  it('many concurrent transactions that emit all come through', async () => {
    const numbers = Array.from({ length: 30 }, (_, index) => `${index}`);
    await Promise.all(
      numbers.map((id) =>
        app.dataSource.transaction(async (manager) => {
          await saveOrder(manager, id);
          await app.bus.emit(OrderPlaced, id, { idempotencyKey: id });
          await app.bus.emit('order.placed', id, { manager });
        }),
      ),
    );
    expect(await app.orders()).toEqual(numbers.toSorted());
    expect(await app.emitted()).toHaveLength(60);
  });

  it('an emit of an unknown name rejects, also while all connections are taken', async () => {
    // Later than the last look for handlers of other processes: it will look again.
    vi.useFakeTimers({ toFake: ['performance'] });
    vi.advanceTimersByTime(60_000);
    const outcomes = await Promise.allSettled(
      Array.from({ length: max }, (_, index) =>
        app.dataSource.transaction(async () => {
          await app.bus.emit(OrderPlaced, `${index}`);
          await app.bus.emit('order.plcaed', `${index}`);
        }),
      ),
    );
    vi.useRealTimers();
    expect(outcomes).toEqual(
      outcomes.map(() => ({
        status: 'rejected',
        reason: expect.any(UnknownEventError) as UnknownEventError,
      })),
    );
    expect(await app.emitted()).toEqual([]);
  });

  it('standalone emits come through', async () => {
    const allow = { standalone: 'allow' } as const;
    await Promise.all(
      Array.from({ length: 20 }, (_, index) => app.bus.emit(OrderPlaced, `${index}`, allow)),
    );
    expect(await app.emitted()).toHaveLength(20);
  });
});

it.each([1, 2])(
  'A11: transactions, relay and workers share a pool of %d, and all events are handled',
  async (max) => {
    const app = await toEmitApp(
      await startTestApp({
        url: backends.database.url,
        events: { namespace: `pool-${max}`, queue: backends.redis },
        providers: [Handlers],
        dataSource: pool(max),
      }),
    );
    try {
      const numbers = Array.from({ length: 20 }, (_, index) => `${index}`);
      const completed = countSignals(app.signals, 'delivery.completed', numbers.length);
      await Promise.all(
        numbers.map((id) => app.dataSource.transaction(() => app.bus.emit(OrderPlaced, id))),
      );
      await completed;
      expect(new Set(app.context.get(Handlers).seen)).toEqual(new Set(numbers));
    } finally {
      await app.close();
    }
  },
);
