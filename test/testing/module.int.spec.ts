import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  EventBus,
  EventHandler,
  EventLog,
  EventsHealth,
  EventsHealthIndicator,
  EventsModule,
  HandlerRegistry,
  InvalidOptionsError,
  Operations,
  Signals,
  type DomainEvent,
} from 'nestjs-durable-events';
import {
  EventsTesting,
  EventsTestingModule,
  observeEvents,
  type EventsTestingOptions,
} from 'nestjs-durable-events/testing';
import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { createTestBackends, startTestApp, type TestBackends } from '../support/test-app.js';
import { onEvent } from '../support/inline-handler.js';
import { newNamespace } from '../support/start-app.js';
import { OrderPaid, OrderPlaced } from './events.js';

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

@Injectable()
class Mails {
  readonly sent: string[] = [];

  @EventHandler(OrderPlaced, { id: 'mails', queue: 'mail' })
  send({ data }: DomainEvent<typeof OrderPlaced>): void {
    this.sent.push(data.orderId);
  }
}

@Module({ imports: [EventsModule.forFeature([OrderPaid])], providers: [Mails] })
class MailsModule {}

/** As a production module would have it: with a queue that is not there in tests. */
function appModule(events = EventsModule.forRoot(options)) {
  @Module({
    imports: [
      TypeOrmModule.forRoot({ type: 'better-sqlite3', database: ':memory:' }),
      events,
      MailsModule,
    ],
  })
  class AppModule {}
  return AppModule;
}
const options = {
  // As where migrations make the tables.
  migrate: false,
  queue: { redis: undefined as unknown as string },
  queues: { mail: { concurrency: 5 } },
  workers: { enabled: false },
  tables: { prefix: 'my_events_' },
};

async function compile(app: object, testing: object) {
  const module = await Test.createTestingModule({ imports: [app as never] })
    .overrideModule(EventsModule)
    .useModule(testing as never)
    .compile();
  await module.init();
  onTestFinished(() => module.close());
  return module;
}

describe('overrideModule(EventsModule)', () => {
  it.each([
    ['forRoot', 'the class', () => EventsModule.forRoot(options), EventsTestingModule],
    [
      'forRoot',
      'options',
      () => EventsModule.forRoot(options),
      EventsTestingModule.forRoot({ mode: 'manual' }),
    ],
    [
      'forRootAsync',
      'the class',
      () => EventsModule.forRootAsync({ useFactory: async () => options }),
      EventsTestingModule,
    ],
  ])('in the place of %s, by %s', async (_root, _with, root, testing) => {
    const module = await compile(appModule(root()), testing);
    const [events, dataSource, bus] = [
      module.get(EventsTesting),
      module.get(DataSource),
      module.get(EventBus),
    ];
    await dataSource.transaction(async () => {
      await bus.emit(OrderPlaced, { orderId: 'o1' });
      // Known by forFeature.
      await bus.emit('order.paid', { orderId: 'o1' });
    });
    await events.drain();
    expect(module.get(Mails).sent).toEqual(['o1']);
    events.expectDelivered('mails');
    events.expectEmitted(OrderPaid);
    // The options of the application hold.
    expect(await dataSource.query('SELECT count(*) AS count FROM my_events_log')).toEqual([
      { count: 2 },
    ]);
    for (const service of [EventLog, HandlerRegistry, Operations, Signals]) {
      expect(module.get<unknown>(service)).toBeInstanceOf(service);
    }
    const report = await module.get(EventsHealth).check();
    expect(report).toMatchObject({ relay: { state: 'elsewhere' }, queue: { reachable: true } });
    const health = await module.get(EventsHealthIndicator).isHealthy('events', { queue: true });
    expect(health.events.status).toBe('up');
  });

  it('leaves nothing in the database, unless the namespace is the test’s to choose', async () => {
    const { url } = backends.database;
    const dataSource = await new DataSource({ type: 'postgres', url }).initialize();
    onTestFinished(() => dataSource.destroy());
    const run = async (testing: EventsTestingOptions) => {
      const module = await Test.createTestingModule({
        imports: [
          TypeOrmModule.forRoot({ type: 'postgres', url }),
          EventsTestingModule.forRoot({ queues: { mail: {} }, ...testing }),
          MailsModule,
        ],
      }).compile();
      await module.init();
      await module.get(EventsTesting).emit(OrderPlaced, { orderId: 'o1' });
      expect(await module.get(EventsTesting).drain()).toHaveLength(1);
      await module.close();
      const rows = await dataSource.query<object[]>('SELECT namespace FROM events_log');
      const handlers = await dataSource.query<object[]>('SELECT namespace FROM events_handlers');
      return [rows, handlers];
    };
    expect(await run({})).toEqual([[], []]);
    const kept = [{ namespace: 'mine' }];
    expect(await run({ namespace: 'mine' })).toEqual([kept, kept]);
  });

  it.each([
    [{ mode: 'sometimes' }, 'mode'],
    [{ storage: 'disk' }, 'storage'],
    [{ retries: 'some' }, 'retries'],
    [{ mods: 'inline' }, 'mods'],
  ])('refuses %j at boot', async (wrong, option) => {
    const testing = EventsTestingModule.forRoot({ storage: 'memory', ...wrong } as never);
    const error: unknown = await Test.createTestingModule({ imports: [testing] })
      .compile()
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InvalidOptionsError);
    expect((error as InvalidOptionsError).option).toBe(option);
  });

  it('without a DataSource keeps events in memory by itself', async () => {
    const module = await Test.createTestingModule({
      imports: [EventsTestingModule],
      providers: [onEvent(OrderPaid, { id: 'a' }, () => undefined)],
    }).compile();
    onTestFinished(() => module.close());
    await module.get(EventsTesting).emit(OrderPaid, { orderId: 'o1' });
    expect(await module.get(EventsTesting).drain()).toHaveLength(1);
  });

  it.each([
    ['beside EventsModule', EventsModule.forRoot(options)],
    ['twice', EventsTestingModule.forRoot({ mode: 'inline' })],
  ])('refuses to be imported %s', async (_how, other) => {
    const module = Test.createTestingModule({
      imports: [appModule(EventsTestingModule.forRoot()), other],
    });
    await expect(module.compile()).rejects.toThrow('option "EventsTestingModule" was imported');
  });

  it('in memory says what the stand-in for the DataSource has not', async () => {
    const module = await Test.createTestingModule({
      imports: [EventsTestingModule.forRoot({ storage: 'memory' })],
    }).compile();
    onTestFinished(() => module.close());
    const work = module.get(DataSource).transaction((manager) => manager.query('SELECT 1'));
    await expect(work).rejects.toThrow('no tables');
  });
});

describe('observeEvents, on the real module', () => {
  it('waits until an event is committed, or handled by all', async () => {
    const app = await startTestApp({
      url: backends.database.url,
      events: { namespace: newNamespace(), queue: backends.redis },
      providers: [
        onEvent(OrderPlaced, { id: 'a' }, (_event, { attempt }) => {
          if (attempt === 1) throw new Error('once');
        }),
        onEvent(OrderPlaced, { id: 'b' }, () => undefined),
        onEvent(OrderPaid, { id: 'broken', attempts: 1 }, () => {
          throw new Error('no money');
        }),
      ],
    });
    onTestFinished(() => app.close());
    const events = observeEvents(app.context);
    const place = (orderId: string) =>
      app.dataSource.transaction(() => app.bus.emit(OrderPlaced, { orderId }));
    const waiting = events.waitFor(OrderPlaced, {
      handled: true,
      match: { orderId: 'o2' },
      timeout: '15s',
    });
    await place('o1');
    await place('o2');
    const placed = await waiting;
    expect(placed.data.orderId).toBe('o2');
    expect(placed.deliveries.map(({ status }) => status)).toEqual(['completed', 'completed']);
    expect(await events.waitFor(OrderPlaced)).toMatchObject({ data: { orderId: 'o1' } });

    await expect(
      events.waitFor(OrderPlaced, { timeout: '50ms', match: { orderId: 'o3', total: 1 } }),
    ).rejects.toThrow("orderId: expected 'o3', was 'o1'");
    await app.dataSource.transaction(() => app.bus.emit(OrderPaid, { orderId: 'o1' }));
    await expect(events.waitFor('order.paid', { handled: true, timeout: '15s' })).rejects.toThrow(
      'no money',
    );
    await expect(events.waitFor('order.lost', { timeout: 10 })).rejects.toThrow(
      'No order.lost was committed',
    );
  });
});
