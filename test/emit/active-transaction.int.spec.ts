import { AsyncLocalStorage } from 'node:async_hooks';
import { EventEmitter } from 'node:events';
import {
  defineEvent,
  EventTransactionRequiredError,
  WrongDataSourceError,
} from 'nestjs-durable-events';
import { DataSource, type EntityManager, Repository } from 'typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ActiveTransaction } from '../../lib/emit/active-transaction.js';
import { openDataSource } from '../support/data-source.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import {
  Order,
  QueryRecorder,
  saveOrder,
  startEmitApp,
  type EmitApp,
} from '../support/emit-app.js';

const OrderPlaced = defineEvent<string>('order.placed');
const outside = AsyncLocalStorage.snapshot();

let database: TestDatabase;
let app: EmitApp;
let optionGives: EntityManager | undefined;

beforeAll(async () => {
  database = await createTestDatabase();
  app = await startEmitApp(database.url, { events: { transaction: () => optionGives } });
});
afterEach(async () => {
  optionGives = undefined;
  await app.clear();
});
afterAll(async () => {
  await app.close();
  await database.drop();
});

const emit = (data: string, manager?: EntityManager) =>
  app.bus.emit(OrderPlaced, data, manager === undefined ? {} : { manager });

describe('a lost async context', () => {
  it('A15: emit rejects; the transaction goes on without the event', async () => {
    await app.dataSource.transaction(async (manager) => {
      await saveOrder(manager, 'o1');
      await expect(outside(() => emit('lost'))).rejects.toBeInstanceOf(
        EventTransactionRequiredError,
      );
    });
    expect(await app.orders()).toEqual(['o1']);
    expect(await app.emitted()).toEqual([]);
  });

  it('A15: emit rejects in work that was queued in the transaction but is run by others', async () => {
    const queue = new EventEmitter();
    // A loop that was there before the transaction: its context is another one.
    const loop = new Promise<unknown>((resolve) => {
      queue.once('work', (work: () => Promise<unknown>) => {
        resolve(outside(work).catch((error: unknown) => error));
      });
    });
    await app.dataSource.transaction(async () => {
      queue.emit('work', () => emit('lost'));
      expect(await loop).toBeInstanceOf(EventTransactionRequiredError);
    });
    expect(await app.emitted()).toEqual([]);
  });

  it('A15: a manager brings the event back into its transaction', async () => {
    const failing = app.dataSource.transaction(async (manager) => {
      await outside(() => emit('kept', manager));
      throw new Error('changed my mind');
    });
    await expect(failing).rejects.toThrow('changed my mind');
    expect(await app.emitted()).toEqual([]);
  });

  it('A15: emit rejects in a transaction of an entity manager that nobody watches', async () => {
    // As repositories of one's own are often made; pass { manager } there.
    const repository = new Repository(Order, app.dataSource.createEntityManager());
    await repository.manager.transaction(async (manager) => {
      await expect(emit('lost')).rejects.toBeInstanceOf(EventTransactionRequiredError);
      await emit('kept', manager);
    });
    expect(await app.emitted()).toEqual(['kept']);
  });

  it('the transaction is found across timers, events and callbacks', async () => {
    await app.dataSource.transaction(async () => {
      const bus = new EventEmitter();
      const emits = new Promise<unknown>((resolve, reject) => {
        bus.on('go', () => {
          setImmediate(() => {
            process.nextTick(() => {
              setTimeout(() => void emit('deep').then(resolve, reject), 0);
            });
          });
        });
      });
      bus.emit('go');
      await emits;
    });
    expect(await app.emitted()).toEqual(['deep']);
  });
});

describe('another DataSource', () => {
  let other: DataSource;
  beforeAll(async () => {
    // Of the same database even: it has other connections, hence other transactions.
    other = await openDataSource(database.url);
  });
  afterAll(() => other.destroy());

  it('A16: emit rejects with its manager, inside and outside a transaction of ours', async () => {
    await other.transaction(async (theirs) => {
      await expect(emit('lost', theirs)).rejects.toBeInstanceOf(WrongDataSourceError);
      await app.dataSource.transaction(async () => {
        await expect(emit('lost', theirs)).rejects.toBeInstanceOf(WrongDataSourceError);
        await emit('ours');
      });
    });
    await expect(emit('lost', other.manager)).rejects.toBeInstanceOf(WrongDataSourceError);
    expect(await app.emitted()).toEqual(['ours']);
  });

  it('A16: emit rejects with its manager from the "transaction" option', async () => {
    await other.transaction(async (theirs) => {
      optionGives = theirs;
      await expect(emit('lost')).rejects.toBeInstanceOf(WrongDataSourceError);
    });
    expect(await app.emitted()).toEqual([]);
  });

  it('A16: a transaction of it is none for emit', async () => {
    await other.transaction(async () => {
      await expect(emit('lost')).rejects.toBeInstanceOf(EventTransactionRequiredError);
    });
    expect(await app.emitted()).toEqual([]);
  });
});

describe('watching a DataSource', () => {
  let dataSource: DataSource;
  const recorder = new QueryRecorder();
  beforeAll(async () => {
    dataSource = await openDataSource(database.url, recorder.options);
  });
  afterAll(() => dataSource.destroy());

  it('leaves the manager as it was when it ends', async () => {
    const transactions = new ActiveTransaction(dataSource);
    transactions.install();
    transactions.install();
    await dataSource.transaction(async ({ queryRunner }) => {
      expect(transactions.find()).toBe(queryRunner);
    });
    transactions.uninstall();
    transactions.uninstall();
    expect(Object.hasOwn(dataSource.manager, 'transaction')).toBe(false);
    await dataSource.transaction(async () => {
      expect(transactions.find()).toBeUndefined();
    });
  });

  it('E6: is done by two applications at once; one that ends does not blind the other', async () => {
    const first = new ActiveTransaction(dataSource);
    const second = new ActiveTransaction(dataSource);
    first.install();
    second.install();
    first.uninstall();
    await dataSource.transaction(async ({ queryRunner }) => {
      expect(second.find()).toBe(queryRunner);
    });
    second.uninstall();
  });

  it('work that is put outside sees no transaction', async () => {
    const transactions = new ActiveTransaction(dataSource);
    transactions.install();
    await dataSource.transaction(async () => {
      expect(transactions.outside(() => transactions.find())).toBeUndefined();
    });
    transactions.uninstall();
  });

  it('callbacks get what TypeORM gives them, and their results and errors come through', async () => {
    const transactions = new ActiveTransaction(dataSource);
    transactions.install();
    recorder.start();
    const result = await dataSource.transaction('REPEATABLE READ', async (manager) => {
      await manager.query('SELECT 1');
      return 'the result';
    });
    expect(result).toBe('the result');
    expect(recorder.matching(/ISOLATION LEVEL REPEATABLE READ/)).toHaveLength(1);
    await expect(
      dataSource.transaction(() => {
        throw new Error('thrown, not rejected');
      }),
    ).rejects.toThrow('thrown, not rejected');
    await expect(dataSource.transaction(undefined as never)).rejects.toThrow('callback');
    transactions.uninstall();
  });
});
