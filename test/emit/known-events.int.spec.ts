import { Injectable } from '@nestjs/common';
import {
  defineEvent,
  DuplicateEventError,
  EventHandler,
  EventsModule,
  InvalidEventDataError,
  InvalidOptionsError,
  UnknownEventError,
} from 'nestjs-durable-events';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { startEmitApp, type EmitApp } from '../support/emit-app.js';
import {
  createTestBackends,
  startTestApp,
  type TestApp,
  type TestBackends,
} from '../support/test-app.js';
import { eventually } from '../support/wait.js';

const schema = z.object({ orderId: z.string() });
const OrderPlaced = defineEvent('order.placed', { schema });
const OrderPlaced2 = defineEvent('order.placed', {
  version: 2,
  schema: z.object({ orderId: z.string(), total: z.number() }),
});
const OrderPaid = defineEvent<string>('order.paid');

@Injectable()
class LocalHandlers {
  @EventHandler(OrderPlaced, { id: 'mail', attempts: 7, priority: 3 })
  mail(): void {}

  @EventHandler('invoice.sent', { transactional: true })
  invoice(): void {}
}

@Injectable()
class RemoteHandlers {
  @EventHandler('order.placed', { id: 'remote.stock', queue: 'stock' })
  stock(): void {}

  @EventHandler(['parcel.sent', 'parcel.lost'])
  parcels(): void {}
}

@Injectable()
class LateHandlers {
  @EventHandler('late.event')
  late(): void {}
}

let backends: TestBackends;
let remote: TestApp;
let app: EmitApp;

/** A process that runs handlers of the same namespace. */
const startWorker = (handlers: new () => object) =>
  startTestApp({
    url: backends.database.url,
    events: { queue: backends.redis, queues: { stock: {} }, relay: { enabled: false } },
    providers: [handlers],
  });

beforeAll(async () => {
  backends = await createTestBackends();
  remote = await startWorker(RemoteHandlers);
  app = await startEmitApp(backends.database.url, {
    events: { standalone: 'allow' },
    providers: [LocalHandlers],
    imports: [
      EventsModule.forFeature([OrderPlaced, OrderPaid]),
      // A definition may stand in many modules.
      EventsModule.forFeature([OrderPaid, OrderPlaced2]),
    ],
  });
});
afterEach(() => app.clear());
afterAll(async () => {
  await app.close();
  await remote.close();
  await backends.drop();
});

describe('events()', () => {
  it('lists what is defined here, handled here, and handled elsewhere', () => {
    expect(app.bus.events()).toEqual([
      'invoice.sent',
      'order.paid',
      'order.placed',
      'parcel.lost',
      'parcel.sent',
    ]);
  });

  it('isRegistered() says the same of one', () => {
    expect(app.bus.isRegistered(OrderPlaced)).toBe(true);
    expect(app.bus.isRegistered('parcel.lost')).toBe(true);
    expect(app.bus.isRegistered('parcel.found')).toBe(false);
    expect(app.bus.isRegistered(defineEvent('never.seen'))).toBe(false);
  });
});

describe('handlersOf()', () => {
  it('lists the handlers of this process and of others, with their options', () => {
    const handlers = app.bus.handlersOf(OrderPlaced);
    expect(handlers).toEqual([
      {
        id: 'mail',
        events: ['order.placed'],
        queue: 'default',
        maxAttempts: 7,
        priority: 3,
        transactional: false,
        local: true,
      },
      {
        id: 'remote.stock',
        events: ['order.placed'],
        queue: 'stock',
        maxAttempts: 5,
        priority: 50,
        transactional: false,
        local: false,
      },
    ]);
    expect(app.bus.handlersOf('order.placed')).toEqual(handlers);
    expect(app.bus.handlersOf('invoice.sent')).toMatchObject([
      { id: 'LocalHandlers.invoice', transactional: true, local: true },
    ]);
  });

  it('is empty for an event without handlers, known or not', () => {
    expect(app.bus.handlersOf(OrderPaid)).toEqual([]);
    expect(app.bus.handlersOf('no.such.event')).toEqual([]);
  });
});

describe('emit by name', () => {
  it('uses the newest definition: its version and its schema', async () => {
    const emitted = await app.bus.emit('order.placed', { orderId: 'o1', total: 1 });
    expect(emitted).toMatchObject({ name: 'order.placed', version: 2 });
    await expect(app.bus.emit('order.placed', { orderId: 'o1' })).rejects.toBeInstanceOf(
      InvalidEventDataError,
    );
    expect(await app.emitted()).toEqual([{ orderId: 'o1', total: 1 }]);
  });

  it('uses the definition of the version asked for, or none where it is unknown here', async () => {
    await app.bus.emit('order.placed', { orderId: 'o1' }, { version: 1 });
    await app.bus.emit('order.placed', { anything: true }, { version: 3 });
    expect(await app.outbox()).toMatchObject([
      { version: 1, data: { orderId: 'o1' } },
      { version: 3, data: { anything: true } },
    ]);
  });

  it('takes a name that only a handler of another process knows', async () => {
    await app.bus.emit('parcel.sent', { id: 'p1' });
    expect(await app.outbox()).toMatchObject([{ name: 'parcel.sent', version: 1 }]);
  });

  it('rejects an unknown name with the nearest one, and writes nothing', async () => {
    const error: unknown = await app.bus
      .emit('order.plcaed', {})
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UnknownEventError);
    expect(error).toMatchObject({ eventName: 'order.plcaed', suggestion: 'order.placed' });
    expect((error as Error).message).toContain('did you mean "order.placed"?');
    expect(await app.emitted()).toEqual([]);
  });

  it('takes a name as soon as another process that handles it has come up', async () => {
    await expect(app.bus.emit('late.event', 1)).rejects.toBeInstanceOf(UnknownEventError);
    const late = await startWorker(LateHandlers);
    try {
      // The database is asked once a second at most.
      await eventually(() => app.bus.emit('late.event', 2), {
        what: 'the new handler is known to the process that emits',
      });
      expect(await app.emitted()).toEqual([2]);
    } finally {
      await late.close();
    }
  });
});

describe('emit with a definition', () => {
  it('registers it, so that it can be emitted by name from then on', async () => {
    const AdHoc = defineEvent<number>('ad.hoc', { version: 4 });
    await expect(app.bus.emit('ad.hoc', 1)).rejects.toBeInstanceOf(UnknownEventError);
    await app.bus.emit(AdHoc, 2);
    await app.bus.emit('ad.hoc', 3);
    expect(await app.outbox()).toMatchObject([
      { version: 4, data: 2 },
      { version: 4, data: 3 },
    ]);
  });

  it('rejects another version than its own, which has no schema to check against', async () => {
    const attempt = app.bus.emit(OrderPlaced, { orderId: 'o1' }, { version: 2 });
    await expect(attempt).rejects.toBeInstanceOf(InvalidOptionsError);
    await expect(attempt).rejects.toThrow('has version 1');
    await app.bus.emit(OrderPlaced, { orderId: 'o1' }, { version: 1 });
    expect(await app.outbox()).toMatchObject([{ version: 1 }]);
  });

  it('rejects one that contradicts the registered one', async () => {
    const other = defineEvent('order.placed', { schema: z.object({ orderId: z.number() }) });
    await expect(app.bus.emit(other, { orderId: 1 })).rejects.toBeInstanceOf(DuplicateEventError);
    expect(await app.emitted()).toEqual([]);
  });
});

describe('the boot', () => {
  it.each([
    [
      'of two modules',
      [
        EventsModule.forFeature([OrderPlaced]),
        EventsModule.forFeature([defineEvent('order.placed', { schema: z.object({}) })]),
      ],
    ],
    [
      'of a module and a handler',
      [EventsModule.forFeature([defineEvent('order.placed', { schema: z.object({}) })])],
    ],
  ])('stops for contradicting definitions %s', async (_where, imports) => {
    const starting = startEmitApp(backends.database.url, { imports, providers: [LocalHandlers] });
    const error: unknown = await starting.then(
      (started) => started.close(),
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(DuplicateEventError);
    expect(error).toMatchObject({ eventName: 'order.placed', version: 1 });
  });
});
