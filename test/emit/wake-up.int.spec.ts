import { Injectable } from '@nestjs/common';
import { defineEvent, EventHandler } from 'nestjs-durable-events';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { nextSignal } from '../support/signals.js';
import {
  createTestBackends,
  startTestApp,
  type TestApp,
  type TestBackends,
} from '../support/test-app.js';

const OrderPlaced = defineEvent<string>('order.placed');

@Injectable()
class Handlers {
  @EventHandler(OrderPlaced)
  onOrderPlaced(): void {}
}

let backends: TestBackends;
let app: TestApp;

beforeAll(async () => {
  backends = await createTestBackends();
  app = await startTestApp({
    url: backends.database.url,
    // Only a wake-up can be in time.
    events: { queue: backends.redis, relay: { pollInterval: '1h' }, standalone: 'allow' },
    providers: [Handlers],
  });
});
afterAll(async () => {
  await app.close();
  await backends.drop();
});

describe('the relay of this process', () => {
  beforeEach(async () => {
    // The pass that every start of the relay begins with, or the last one of the former test.
    const relayed = nextSignal(app.signals, 'delivery.completed');
    await app.bus.emit(OrderPlaced, 'first');
    await relayed;
  });

  it('is woken by the commit of a transaction that emitted', async () => {
    const completed = nextSignal(app.signals, 'delivery.completed');
    const { eventId } = await app.dataSource.transaction(() => app.bus.emit(OrderPlaced, 'o1'));
    expect(await completed).toMatchObject({ eventId });
  });

  it('is woken by a standalone emit', async () => {
    const completed = nextSignal(app.signals, 'delivery.completed');
    const { eventId } = await app.bus.emit(OrderPlaced, 'o1');
    expect(await completed).toMatchObject({ eventId });
  });

  it('A6: is woken by the outermost commit, with what savepoints emitted', async () => {
    const completed = nextSignal(app.signals, 'delivery.completed');
    const { eventId } = await app.dataSource.transaction((manager) =>
      manager.transaction(() => app.bus.emit(OrderPlaced, 'nested')),
    );
    expect(await completed).toMatchObject({ eventId });
  });
});
