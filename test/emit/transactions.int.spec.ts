import { AsyncLocalStorage } from 'node:async_hooks';
import {
  defineEvent,
  EventTransactionEndedError,
  EventTransactionRequiredError,
  type EmitOptions,
} from 'nestjs-durable-events';
import type { EntityManager } from 'typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { Order, saveOrder, startEmitApp, type EmitApp } from '../support/emit-app.js';

const OrderPlaced = defineEvent<string>('order.placed');

/** No transaction is active in what this runs. */
const outside = AsyncLocalStorage.snapshot();

/** The transaction manager of an application that has its own. */
const ownTransaction = new AsyncLocalStorage<EntityManager>();

let database: TestDatabase;
let app: EmitApp;

beforeAll(async () => {
  database = await createTestDatabase();
  app = await startEmitApp(database.url, {
    events: { transaction: () => ownTransaction.getStore() },
  });
});
afterEach(() => app.clear());
afterAll(async () => {
  await app.close();
  await database.drop();
});

const emit = (data: string, options?: EmitOptions) => app.bus.emit(OrderPlaced, data, options);

/** Saves an order and emits with it, then fails if asked to. */
async function placeOrder(
  manager: EntityManager,
  { fail, options }: { fail: boolean; options?: EmitOptions | undefined },
): Promise<void> {
  await saveOrder(manager, 'o1');
  const { duplicate, eventId } = await emit('o1', options);
  expect({ duplicate, eventId }).toEqual({ duplicate: false, eventId: expect.any(String) });
  if (fail) throw new Error('changed my mind');
}

type Way = (fail: boolean) => Promise<void>;

/** Every way to have a transaction, each saving one order and emitting one event in it. */
const WAYS: Record<string, Way> = {
  'dataSource.transaction()': (fail) =>
    app.dataSource.transaction((manager) => placeOrder(manager, { fail })),
  'dataSource.transaction() with an isolation level': (fail) =>
    app.dataSource.transaction('SERIALIZABLE', (manager) => placeOrder(manager, { fail })),
  'dataSource.manager.transaction()': (fail) =>
    app.dataSource.manager.transaction((manager) => placeOrder(manager, { fail })),
  "a repository's manager": (fail) =>
    app.dataSource
      .getRepository(Order)
      .manager.transaction((manager) => placeOrder(manager, { fail })),
  'an explicit manager, where nothing else tells the transaction': (fail) =>
    app.dataSource.transaction((manager) =>
      outside(() => placeOrder(manager, { fail, options: { manager } })),
    ),
  'the manager of a query runner': async (fail) => {
    const runner = app.dataSource.createQueryRunner();
    try {
      await runner.startTransaction();
      await placeOrder(runner.manager, { fail, options: { manager: runner.manager } });
      await runner.commitTransaction();
    } catch (error) {
      await runner.rollbackTransaction();
      throw error;
    } finally {
      await runner.release();
    }
  },
  'the "transaction" option': (fail) =>
    app.dataSource.transaction((manager) =>
      outside(() => ownTransaction.run(manager, () => placeOrder(manager, { fail }))),
    ),
};

describe.each(Object.entries(WAYS))('with %s', (_name, way) => {
  it('an event is saved with the transaction', async () => {
    await way(false);
    expect(await app.emitted()).toEqual(['o1']);
    expect(await app.orders()).toEqual(['o1']);
  });

  it('nothing is saved if the transaction rolls back', async () => {
    await expect(way(true)).rejects.toThrow('changed my mind');
    expect(await app.emitted()).toEqual([]);
    expect(await app.orders()).toEqual([]);
  });
});

it('nobody else sees the event before the commit', async () => {
  await app.dataSource.transaction(async () => {
    await emit('o1');
    expect(await app.emitted()).toEqual([]);
  });
  expect(await app.emitted()).toEqual(['o1']);
});

describe('precedence', () => {
  it('an explicit manager goes before the active transaction', async () => {
    await app.dataSource.transaction(async (other) => {
      const failing = app.dataSource.transaction(async () => {
        await emit('of the other', { manager: other });
        await emit('of the inner');
        throw new Error('changed my mind');
      });
      await expect(failing).rejects.toThrow('changed my mind');
    });
    expect(await app.emitted()).toEqual(['of the other']);
  });

  it('the "transaction" option goes before dataSource.transaction()', async () => {
    await app.dataSource.transaction(async (other) => {
      const failing = app.dataSource.transaction(async () => {
        await ownTransaction.run(other, () => emit('of the other'));
        throw new Error('changed my mind');
      });
      await expect(failing).rejects.toThrow('changed my mind');
    });
    expect(await app.emitted()).toEqual(['of the other']);
  });

  it('two transactions at once keep apart', async () => {
    const transaction = (data: string, fail: boolean) =>
      app.dataSource.transaction(async () => {
        await emit(`${data} first`);
        await emit(`${data} second`);
        if (fail) throw new Error('changed my mind');
      });
    const outcomes = await Promise.allSettled([
      transaction('a', false),
      transaction('b', true),
      transaction('c', false),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(new Set(await app.emitted())).toEqual(
      new Set(['a first', 'a second', 'c first', 'c second']),
    );
  });

  it('a transaction opened inside another one is a transaction of its own', async () => {
    const failing = app.dataSource.transaction(async () => {
      await emit('outer');
      await app.dataSource.transaction(() => emit('inner'));
      throw new Error('changed my mind');
    });
    await expect(failing).rejects.toThrow('changed my mind');
    expect(await app.emitted()).toEqual(['inner']);
  });
});

describe('nested transactions', () => {
  it('A6: a released savepoint leaves the outer transaction open for further emits', async () => {
    await app.dataSource.transaction(async (manager) => {
      await emit('before');
      await manager.transaction(() => emit('nested'));
      await emit('after');
    });
    expect(await app.emitted()).toEqual(['before', 'nested', 'after']);
  });

  it('A6: a released savepoint commits nothing: the outer transaction may still roll back', async () => {
    const failing = app.dataSource.transaction(async (manager) => {
      await manager.transaction(() => emit('nested'));
      throw new Error('changed my mind');
    });
    await expect(failing).rejects.toThrow('changed my mind');
    expect(await app.emitted()).toEqual([]);
  });

  it.each(['the active transaction', 'the explicit manager'])(
    'a rollback to a savepoint undoes what was emitted since, and nothing else (%s)',
    async (how) => {
      await app.dataSource.transaction(async (manager) => {
        const options = how === 'the explicit manager' ? { manager } : {};
        await emit('before', options);
        const nested = manager.transaction(async (inner) => {
          await saveOrder(inner, 'nested');
          await emit('nested', how === 'the explicit manager' ? { manager: inner } : {});
          await inner.transaction(() => emit('deeper', options));
          throw new Error('only this');
        });
        await expect(nested).rejects.toThrow('only this');
        await emit('after', options);
      });
      expect(await app.emitted()).toEqual(['before', 'after']);
      expect(await app.orders()).toEqual([]);
    },
  );

  it('a statement that fails in a savepoint does not spoil the outer transaction', async () => {
    await app.dataSource.transaction(async (manager) => {
      await emit('before');
      const nested = manager.transaction(async (inner) => {
        await emit('nested');
        await inner.query('SELECT * FROM nowhere');
      });
      await expect(nested).rejects.toThrow('nowhere');
      await emit('after');
    });
    expect(await app.emitted()).toEqual(['before', 'after']);
  });

  it("A4: an emit of a nested transaction that comes after its rollback rejects, and isn't the outer one's", async () => {
    await app.dataSource.transaction(async (manager) => {
      let sibling!: Promise<unknown>;
      let rolledBack!: () => void;
      const afterwards = new Promise<void>((resolve) => (rolledBack = resolve));
      const nested = manager.transaction(async (inner) => {
        sibling = afterwards.then(() => emit('late'));
        await saveOrder(inner, 'nested');
        throw new Error('only this');
      });
      await expect(nested).rejects.toThrow('only this');
      rolledBack();
      await expect(sibling).rejects.toBeInstanceOf(EventTransactionEndedError);
      await emit('after');
    });
    expect(await app.emitted()).toEqual(['after']);
  });

  it('A4: the same with the nested manager given', async () => {
    await app.dataSource.transaction(async (manager) => {
      let late!: () => Promise<unknown>;
      const nested = manager.transaction(async (inner) => {
        late = AsyncLocalStorage.bind(() => emit('late', { manager: inner }));
        throw new Error('only this');
      });
      await expect(nested).rejects.toThrow('only this');
      await expect(late()).rejects.toBeInstanceOf(EventTransactionEndedError);
    });
    expect(await app.emitted()).toEqual([]);
  });
});

describe('outside a transaction', () => {
  it('emit rejects and says what to do', async () => {
    const error: unknown = await emit('o1').catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(EventTransactionRequiredError);
    expect((error as Error).message).toMatch(/dataSource\.transaction.*\{ manager \}.*standalone/);
    expect(await app.emitted()).toEqual([]);
  });

  it("emit rejects for a manager without a transaction: the DataSource's, a query runner's", async () => {
    await expect(emit('o1', { manager: app.dataSource.manager })).rejects.toThrow(
      'the manager passed to emit has no open transaction',
    );
    const runner = app.dataSource.createQueryRunner();
    await expect(emit('o1', { manager: runner.manager })).rejects.toBeInstanceOf(
      EventTransactionRequiredError,
    );
    await runner.release();
    expect(await app.emitted()).toEqual([]);
  });

  it('emit saves an event on its own if the call allows it', async () => {
    await emit('o1', { standalone: 'allow' });
    expect(await app.emitted()).toEqual(['o1']);
  });

  it('emitMany needs the permission for every event', async () => {
    const allow = { standalone: 'allow' } as const;
    await expect(
      app.bus.emitMany([
        [OrderPlaced, 'a', allow],
        [OrderPlaced, 'b'],
      ]),
    ).rejects.toBeInstanceOf(EventTransactionRequiredError);
    expect(await app.emitted()).toEqual([]);
    await app.bus.emitMany([
      [OrderPlaced, 'a', allow],
      [OrderPlaced, 'b', allow],
    ]);
    expect(await app.emitted()).toEqual(['a', 'b']);
  });

  it('a call that allows it still joins the active transaction', async () => {
    const failing = app.dataSource.transaction(async () => {
      await emit('o1', { standalone: 'allow' });
      throw new Error('changed my mind');
    });
    await expect(failing).rejects.toThrow('changed my mind');
    expect(await app.emitted()).toEqual([]);
  });

  it('the module may allow it, and a call forbid it', async () => {
    const lenient = await startEmitApp(database.url, { events: { standalone: 'allow' } });
    try {
      await lenient.bus.emit(OrderPlaced, 'allowed');
      await expect(
        lenient.bus.emit(OrderPlaced, 'forbidden', { standalone: 'reject' }),
      ).rejects.toBeInstanceOf(EventTransactionRequiredError);
    } finally {
      await lenient.close();
    }
    expect(await app.emitted()).toEqual(['allowed']);
  });
});
