import { Inject, Injectable } from '@nestjs/common';
import {
  ClsPluginTransactional,
  Propagation,
  Transactional,
  TransactionHost,
} from '@nestjs-cls/transactional';
import { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { getDataSourceToken } from '@nestjs/typeorm';
import {
  defineEvent,
  EventBus,
  EventTransactionEndedError,
  EventTransactionRequiredError,
  type EventsModuleOptions,
} from 'nestjs-durable-events';
import { ClsModule } from 'nestjs-cls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { Order, saveOrder, startEmitApp, type EmitApp } from '../support/emit-app.js';

const OrderPlaced = defineEvent<string>('order.placed');

type Host = TransactionHost<TransactionalAdapterTypeOrm>;

/** A service as users of @nestjs-cls/transactional write them. */
@Injectable()
class Orders {
  constructor(
    @Inject(EventBus) readonly events: EventBus,
    @Inject(TransactionHost) readonly host: Host,
  ) {}

  private async save(id: string): Promise<void> {
    await saveOrder(this.host.tx, id);
    await this.events.emit(OrderPlaced, id);
  }

  @Transactional()
  async place(id: string, then: () => Promise<unknown> = async () => undefined): Promise<void> {
    await this.save(id);
    await then();
  }

  @Transactional<TransactionalAdapterTypeOrm>({ isolationLevel: 'SERIALIZABLE' })
  async placeSerializable(id: string): Promise<void> {
    await this.host.tx.getRepository(Order).save({ id });
    await this.events.emit(OrderPlaced, id);
  }

  @Transactional(Propagation.RequiresNew)
  async placeAlone(id: string, then: () => Promise<unknown> = async () => undefined) {
    await this.save(id);
    await then();
  }

  @Transactional(Propagation.Nested)
  async placeNested(id: string, then: () => Promise<unknown> = async () => undefined) {
    await this.save(id);
    await then();
  }

  @Transactional(Propagation.NotSupported)
  async emitWithout(id: string): Promise<void> {
    await this.events.emit(OrderPlaced, id);
  }
}

let database: TestDatabase;
let app: EmitApp;
let orders: Orders;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

async function start(events: EventsModuleOptions): Promise<void> {
  app = await startEmitApp(database.url, {
    events,
    providers: [Orders],
    imports: [
      ClsModule.forRoot({
        global: true,
        plugins: [
          new ClsPluginTransactional({
            adapter: new TransactionalAdapterTypeOrm({ dataSourceToken: getDataSourceToken() }),
          }),
        ],
      }),
    ],
  });
  orders = app.context.get(Orders);
}

const fail = async (): Promise<never> => {
  throw new Error('changed my mind');
};

/** Orders and events that were saved: they must be the same. */
async function expectSaved(ids: string[]): Promise<void> {
  expect(await app.orders()).toEqual(ids.toSorted());
  expect(new Set(await app.emitted())).toEqual(new Set(ids));
}

// With nothing configured, and with the transaction host given as the "transaction" option.
describe.each<[string, EventsModuleOptions]>([
  ['found by itself', {}],
  [
    'told by the "transaction" option',
    { transaction: () => TransactionHost.getInstance<TransactionalAdapterTypeOrm>().tx },
  ],
])('@nestjs-cls/transactional, %s', (_how, events) => {
  beforeAll(() => start(events));
  afterEach(() => app.clear());
  afterAll(() => app.close());

  it('an event is saved with the transaction', async () => {
    await orders.place('o1');
    await expectSaved(['o1']);
  });

  it('an event is saved with a transaction of another isolation level', async () => {
    await orders.placeSerializable('o1');
    await expectSaved(['o1']);
  });

  it('nothing is saved if the transaction rolls back', async () => {
    await expect(orders.place('o1', fail)).rejects.toThrow('changed my mind');
    await expectSaved([]);
  });

  it('Required joins the transaction around it', async () => {
    await orders.place('o1', () => orders.place('o2'));
    await expectSaved(['o1', 'o2']);
    await app.clear();
    const failing = orders.place('o1', async () => {
      await orders.place('o2');
      await fail();
    });
    await expect(failing).rejects.toThrow('changed my mind');
    await expectSaved([]);
  });

  it('RequiresNew commits on its own, whatever becomes of the transaction around it', async () => {
    const failing = orders.place('o1', async () => {
      await orders.placeAlone('o2');
      await orders.place('o3');
      await fail();
    });
    await expect(failing).rejects.toThrow('changed my mind');
    await expectSaved(['o2']);
  });

  it('RequiresNew rolls back on its own; the transaction around it goes on', async () => {
    await orders.place('o1', async () => {
      await expect(orders.placeAlone('o2', fail)).rejects.toThrow('changed my mind');
      await orders.place('o3');
    });
    await expectSaved(['o1', 'o3']);
  });

  it('Nested rolls back to its savepoint: nothing of it, and the outer events stay', async () => {
    await orders.place('o1', async () => {
      await expect(orders.placeNested('o2', () => orders.placeNested('o3', fail))).rejects.toThrow(
        'changed my mind',
      );
      await orders.placeNested('o4');
      await orders.place('o5');
    });
    await expectSaved(['o1', 'o4', 'o5']);
  });

  it('emit rejects outside a transaction', async () => {
    await expect(orders.events.emit(OrderPlaced, 'o1')).rejects.toBeInstanceOf(
      EventTransactionRequiredError,
    );
    await expect(orders.emitWithout('o1')).rejects.toBeInstanceOf(EventTransactionRequiredError);
    await expectSaved([]);
  });
});

describe('@nestjs-cls/transactional', () => {
  afterEach(async () => {
    await app.clear();
    await app.close();
  });

  it('A10: a late emit rejects, also where standalone is allowed', async () => {
    await start({ standalone: 'allow' });
    let late!: () => Promise<unknown>;
    await orders.place('o1', async () => {
      const ended = new Promise<void>((resolve) => (late = async () => resolve()));
      const emitting = ended.then(() => orders.events.emit(OrderPlaced, 'late'));
      const called = late;
      late = async () => {
        await called();
        await emitting;
      };
    });
    await expect(late()).rejects.toBeInstanceOf(EventTransactionEndedError);
    await expectSaved(['o1']);
  });

  it('NotSupported inside a transaction: emit rejects where the transaction host is told', async () => {
    await start({
      transaction: () => TransactionHost.getInstance<TransactionalAdapterTypeOrm>().tx,
    });
    await orders.place('o1', async () => {
      await expect(orders.emitWithout('o2')).rejects.toBeInstanceOf(EventTransactionRequiredError);
    });
    await expectSaved(['o1']);
  });
});
