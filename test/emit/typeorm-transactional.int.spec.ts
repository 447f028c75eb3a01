import { AsyncLocalStorage } from 'node:async_hooks';
import { Inject, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { InjectRepository, TypeOrmModule } from '@nestjs/typeorm';
import {
  defineEvent,
  EventBus,
  EventsModule,
  EventTransactionEndedError,
  EventTransactionRequiredError,
  type EventsModuleOptions,
} from 'nestjs-durable-events';
import { DataSource, type Repository } from 'typeorm';
import {
  addTransactionalDataSource,
  deleteDataSourceByName,
  initializeTransactionalContext,
  Propagation,
  runInTransaction,
  Transactional,
} from 'typeorm-transactional';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { dataSourceOptions } from '../support/data-source.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { emitOnly, Order, toEmitApp, type EmitApp } from '../support/emit-app.js';
import { toTestApp } from '../support/test-app.js';

// It patches TypeORM's prototypes for the whole process: this file has one of its own.
initializeTransactionalContext();

const OrderPlaced = defineEvent<string>('order.placed');

type Then = () => Promise<unknown>;
const nothing: Then = async () => undefined;

/** A service as users of typeorm-transactional write them. */
@Injectable()
class Orders {
  constructor(
    @Inject(EventBus) readonly events: EventBus,
    @InjectRepository(Order) readonly repository: Repository<Order>,
  ) {}

  private async save(id: string): Promise<void> {
    await this.repository.insert({ id });
    await this.events.emit(OrderPlaced, id);
  }

  @Transactional()
  async place(id: string, then: Then = nothing): Promise<void> {
    await this.save(id);
    await then();
  }

  @Transactional({ propagation: Propagation.REQUIRES_NEW })
  async placeAlone(id: string, then: Then = nothing): Promise<void> {
    await this.save(id);
    await then();
  }

  @Transactional({ propagation: Propagation.NESTED })
  async placeNested(id: string, then: Then = nothing): Promise<void> {
    await this.save(id);
    await then();
  }

  @Transactional({ propagation: Propagation.NOT_SUPPORTED })
  async emitWithout(id: string): Promise<void> {
    await this.events.emit(OrderPlaced, id);
  }

  @Transactional({ propagation: Propagation.SUPPORTS })
  async emitIfAny(id: string): Promise<void> {
    await this.events.emit(OrderPlaced, id);
  }
}

const fail = async (): Promise<never> => {
  throw new Error('changed my mind');
};

let database: TestDatabase;
let app: EmitApp;
let orders: Orders;

async function start(events: EventsModuleOptions, order: 'before' | 'after'): Promise<void> {
  @Module({
    imports: [
      TypeOrmModule.forRootAsync({
        useFactory: () => dataSourceOptions(database.url, { entities: [Order] }),
        dataSourceFactory: async (options) => {
          const dataSource = new DataSource(options!);
          return order === 'before' ? addTransactionalDataSource(dataSource) : dataSource;
        },
      }),
      TypeOrmModule.forFeature([Order]),
      EventsModule.forRoot(emitOnly(events)),
    ],
    providers: [Orders],
  })
  class TestModule {}
  const context = await NestFactory.createApplicationContext(TestModule, {
    logger: false,
    abortOnError: false,
  });
  const dataSource = context.get(DataSource);
  if (order === 'after') addTransactionalDataSource(dataSource);
  orders = context.get(Orders);
  app = await toEmitApp(toTestApp(context));
}

async function stop(): Promise<void> {
  await app.close();
  deleteDataSourceByName('default');
}

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

/** Orders and events that were saved: they must be the same. */
async function expectSaved(ids: string[]): Promise<void> {
  expect(await app.orders()).toEqual(ids.toSorted());
  expect(new Set(await app.emitted())).toEqual(new Set(ids));
}

// Patching the DataSource before this library sees it is usual; the order must not matter.
describe.each(['before', 'after'] as const)(
  'typeorm-transactional, added %s this library',
  (order) => {
    beforeAll(() => start({}, order));
    afterEach(() => app.clear());
    afterAll(stop);

    it('REQUIRED: an event is saved with the transaction', async () => {
      await orders.place('o1');
      await expectSaved(['o1']);
    });

    it('REQUIRED: nothing is saved if the transaction rolls back', async () => {
      await expect(orders.place('o1', fail)).rejects.toThrow('changed my mind');
      await expectSaved([]);
    });

    it('REQUIRED joins the transaction around it', async () => {
      await orders.place('o1', () => orders.place('o2'));
      await expectSaved(['o1', 'o2']);
      await app.clear();
      const failing = orders.place('o1', () => orders.place('o2', fail));
      await expect(failing).rejects.toThrow('changed my mind');
      await expectSaved([]);
    });

    it('runInTransaction works like the decorator', async () => {
      await runInTransaction(() => orders.place('o1'));
      await expectSaved(['o1']);
    });

    it('REQUIRES_NEW commits on its own, whatever becomes of the transaction around it', async () => {
      const failing = orders.place('o1', async () => {
        await orders.placeAlone('o2', () => orders.place('o3'));
        await orders.place('o4');
        await fail();
      });
      await expect(failing).rejects.toThrow('changed my mind');
      await expectSaved(['o2', 'o3']);
    });

    it('REQUIRES_NEW rolls back on its own; the transaction around it goes on', async () => {
      await orders.place('o1', async () => {
        await expect(orders.placeAlone('o2', fail)).rejects.toThrow('changed my mind');
        await orders.place('o3');
      });
      await expectSaved(['o1', 'o3']);
    });

    it('NESTED: what it opens decides, and the outer event stays', async () => {
      await orders.place('o1', async () => {
        await expect(orders.placeNested('o2', fail)).rejects.toThrow('changed my mind');
        await orders.placeNested('o3');
        await orders.place('o4');
      });
      await expectSaved(['o1', 'o3', 'o4']);
    });

    it('NOT_SUPPORTED: emit rejects, inside a transaction and outside', async () => {
      await expect(orders.emitWithout('o1')).rejects.toBeInstanceOf(EventTransactionRequiredError);
      await orders.place('o2', async () => {
        // Caught inside: typeorm-transactional resumes the transaction only after a success.
        const suspended = runInTransaction(
          async () => {
            await expect(orders.events.emit(OrderPlaced, 'o1')).rejects.toBeInstanceOf(
              EventTransactionRequiredError,
            );
          },
          { propagation: Propagation.NOT_SUPPORTED },
        );
        await suspended;
        await orders.events.emit(OrderPlaced, 'o3');
      });
      expect(new Set(await app.emitted())).toEqual(new Set(['o2', 'o3']));
    });

    it('SUPPORTS joins a transaction, and rejects without one', async () => {
      await expect(orders.emitIfAny('o1')).rejects.toBeInstanceOf(EventTransactionRequiredError);
      await runInTransaction(() => orders.emitIfAny('o2'));
      expect(await app.emitted()).toEqual(['o2']);
    });

    it('dataSource.transaction() and savepoints work beside it', async () => {
      await app.dataSource.transaction(() => orders.events.emit(OrderPlaced, 'plain'));
      await runInTransaction(async () => {
        await orders.events.emit(OrderPlaced, 'outer');
        const nested = app.dataSource.manager.transaction(async () => {
          await orders.events.emit(OrderPlaced, 'nested');
          await fail();
        });
        await expect(nested).rejects.toThrow('changed my mind');
      });
      expect(await app.emitted()).toEqual(['plain', 'outer']);
    });

    it('A10: emit rejects once the transaction has ended', async () => {
      let late!: () => Promise<unknown>;
      await orders.place('o1', async () => {
        late = AsyncLocalStorage.bind(() => orders.events.emit(OrderPlaced, 'late'));
      });
      await expect(late()).rejects.toBeInstanceOf(EventTransactionEndedError);
      await expectSaved(['o1']);
    });
  },
);

describe('typeorm-transactional, with standalone emits allowed', () => {
  beforeAll(() => start({ standalone: 'allow' }, 'before'));
  afterEach(() => app.clear());
  afterAll(stop);

  it('A10: emit rejects once the transaction has ended', async () => {
    let late!: () => Promise<unknown>;
    await orders.place('o1', async () => {
      late = AsyncLocalStorage.bind(() => orders.events.emit(OrderPlaced, 'late'));
    });
    await expect(late()).rejects.toBeInstanceOf(EventTransactionEndedError);
    await expectSaved(['o1']);
  });

  it('NOT_SUPPORTED: an emit is saved on its own', async () => {
    const failing = orders.place('o1', async () => {
      await orders.emitWithout('alone');
      await fail();
    });
    await expect(failing).rejects.toThrow('changed my mind');
    expect(await app.emitted()).toEqual(['alone']);
  });
});
