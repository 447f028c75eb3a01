import { AsyncLocalStorage } from 'node:async_hooks';
import {
  defineEvent,
  EventTransactionEndedError,
  EventTransactionFailedError,
  InvalidEventDataError,
  type EmitOptions,
} from 'nestjs-durable-events';
import {
  type DataSource,
  type EntityManager,
  type EntitySubscriberInterface,
  type QueryRunner,
} from 'typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { EmitWindows } from '../../lib/emit/emit-window.js';
import { openDataSource } from '../support/data-source.js';
import { createTestDatabase, onPostgres, sql, type TestDatabase } from '../support/database.js';
import { QueryRecorder, saveOrder, startEmitApp, type EmitApp } from '../support/emit-app.js';
import { deferred } from '../support/wait.js';

const OrderPlaced = defineEvent<string>('order.placed');

let database: TestDatabase;
let app: EmitApp;
/** The same database, with emits outside transactions allowed. */
let lenient: EmitApp;
const recorder = new QueryRecorder();

beforeAll(async () => {
  database = await createTestDatabase();
  app = await startEmitApp(database.url, { dataSource: recorder.options });
  lenient = await startEmitApp(database.url, { events: { standalone: 'allow' } });
});
afterEach(() => app.clear());
afterAll(async () => {
  await app.close();
  await lenient.close();
  await database.drop();
});

const emit = (data: string, options?: EmitOptions) => app.bus.emit(OrderPlaced, data, options);

async function withRunner<T>(
  work: (runner: QueryRunner) => Promise<T>,
  source = app.dataSource,
): Promise<T> {
  const runner = source.createQueryRunner();
  try {
    return await work(runner);
  } finally {
    await runner.release();
  }
}

/** A statement whose failure the application swallows. */
async function swallowFailure(through: { query(sql: string): Promise<unknown> }): Promise<void> {
  await through.query('SELECT * FROM nowhere').catch(() => undefined);
}

// Only PostgreSQL breaks the transaction; see emit/mysql for what MariaDB does.
describe.runIf(onPostgres)('a statement failed and its error was swallowed', () => {
  it('A1: after an emit: the transaction rejects, instead of seeming to be committed', async () => {
    const transaction = app.dataSource.transaction(async (manager) => {
      await saveOrder(manager, 'o1');
      await emit('o1');
      await swallowFailure(manager);
    });
    await expect(transaction).rejects.toBeInstanceOf(EventTransactionFailedError);
    expect(await app.orders()).toEqual([]);
    expect(await app.emitted()).toEqual([]);
  });

  it('A1: before an emit whose error was swallowed too', async () => {
    const transaction = app.dataSource.transaction(async (manager) => {
      await swallowFailure(manager);
      await emit('o1').catch(() => undefined);
    });
    await expect(transaction).rejects.toBeInstanceOf(EventTransactionFailedError);
    expect(await app.emitted()).toEqual([]);
  });

  it('A1: while nobody waited for the statement', async () => {
    const transaction = app.dataSource.transaction(async (manager) => {
      await emit('o1');
      void swallowFailure(manager);
    });
    await expect(transaction).rejects.toBeInstanceOf(EventTransactionFailedError);
    expect(await app.emitted()).toEqual([]);
  });

  it('A1: in a transaction opened by hand', async () => {
    await withRunner(async (runner) => {
      await runner.startTransaction();
      await emit('o1', { manager: runner.manager });
      await swallowFailure(runner);
      await expect(runner.commitTransaction()).rejects.toBeInstanceOf(EventTransactionFailedError);
      await runner.rollbackTransaction();
    });
    expect(await app.emitted()).toEqual([]);
  });

  it('A1: the same connection can be used again afterwards', async () => {
    await withRunner(async (runner) => {
      await runner.startTransaction();
      await emit('lost', { manager: runner.manager });
      await swallowFailure(runner);
      await runner.commitTransaction().catch(() => undefined);
      await runner.rollbackTransaction();
      await runner.startTransaction();
      await emit('kept', { manager: runner.manager });
      await runner.commitTransaction();
    });
    expect(await app.emitted()).toEqual(['kept']);
  });
});

describe('a failure that is none of the transaction with the event', () => {
  it('A1: in a savepoint that was undone: the transaction commits, and its event is there', async () => {
    await app.dataSource.transaction(async (manager) => {
      await emit('o1');
      await manager
        .transaction((inner) => inner.query('SELECT * FROM nowhere'))
        .catch(() => undefined);
    });
    expect(await app.emitted()).toEqual(['o1']);
  });

  it('A1: in a transaction without emits: it is not ours to judge', async () => {
    await app.dataSource.transaction((manager) => swallowFailure(manager));
    expect(await app.emitted()).toEqual([]);
  });

  it('an event that is refused before it is written spoils nothing', async () => {
    const Checked = defineEvent('checked', { schema: z.object({ id: z.string() }) });
    await app.dataSource.transaction(async (manager) => {
      await saveOrder(manager, 'o1');
      await expect(app.bus.emit(Checked, { id: 1 as never })).rejects.toBeInstanceOf(
        InvalidEventDataError,
      );
    });
    expect(await app.orders()).toEqual(['o1']);
    expect(await app.emitted()).toEqual([]);
  });
});

describe('Promise.all', () => {
  const ENDS = /^(INSERT INTO [`"]events_outbox|COMMIT|ROLLBACK)/;
  let slowEvents = 0;
  let hook: EntitySubscriberInterface | undefined;
  afterEach(() => {
    const { subscribers } = app.dataSource;
    if (hook !== undefined) subscribers.splice(subscribers.indexOf(hook), 1);
    hook = undefined;
  });

  /** An event whose check takes until its transaction has begun to end. */
  function slowEvent() {
    const called = deferred();
    const checked = deferred();
    const schema = z.string().refine(async () => {
      called.resolve();
      await checked.promise;
      return true;
    });
    const finish = (end: 'beforeTransactionCommit' | 'beforeTransactionRollback') => {
      // A turn later: whoever does not wait has sent its COMMIT or ROLLBACK by then.
      hook = { [end]: () => void setImmediate(() => checked.resolve()) };
      app.dataSource.subscribers.push(hook);
      recorder.start();
    };
    const event = defineEvent(`slow.${slowEvents++}`, { schema });
    return { event, called: called.promise, finish };
  }

  it('A4: a late emit after a sibling failed rejects, and nothing is saved', async () => {
    const rolledBack = deferred();
    let late!: Promise<unknown>;
    const transaction = lenient.dataSource.transaction(async (manager) => {
      late = rolledBack.promise.then(() => lenient.bus.emit(OrderPlaced, 'late'));
      await saveOrder(manager, 'o1');
      await Promise.all([late, Promise.reject(new Error('sibling'))]);
    });
    await expect(transaction).rejects.toThrow('sibling');
    rolledBack.resolve();
    await expect(late).rejects.toBeInstanceOf(EventTransactionEndedError);
    expect(await app.emitted()).toEqual([]);
    expect(await app.orders()).toEqual([]);
  });

  it('A4: the same with a manager given', async () => {
    await withRunner(async (runner) => {
      await runner.startTransaction();
      const { manager } = runner;
      await emit('first', { manager });
      // Called in the same turn, before the ROLLBACK has left this process.
      const rollback = runner.rollbackTransaction();
      const late = emit('late', { manager });
      await expect(late).rejects.toBeInstanceOf(EventTransactionEndedError);
      await rollback;
    });
    expect(await app.emitted()).toEqual([]);
  });

  it('A4: a first emit during the ROLLBACK or COMMIT rejects', async () => {
    for (const end of ['rollbackTransaction', 'commitTransaction'] as const) {
      await withRunner(async (runner) => {
        await runner.startTransaction();
        const ended = runner[end]();
        await expect(emit('late', { manager: runner.manager })).rejects.toBeInstanceOf(
          EventTransactionEndedError,
        );
        await ended;
      });
    }
    expect(await app.emitted()).toEqual([]);
  });

  it('A4: the rollback waits for an emit under way, which is undone with it', async () => {
    const { event, called, finish } = slowEvent();
    let slow!: Promise<unknown>;
    const transaction = app.dataSource.transaction(async () => {
      slow = app.bus.emit(event, 'slow');
      await called;
      throw new Error('sibling');
    });
    finish('beforeTransactionRollback');
    await expect(transaction).rejects.toThrow('sibling');
    await expect(slow).resolves.toMatchObject({ duplicate: false });
    expect(recorder.matching(ENDS)).toEqual([expect.stringContaining('INSERT'), 'ROLLBACK']);
    expect(await app.emitted()).toEqual([]);
  });

  it('A4: the commit waits for an emit that nobody awaited', async () => {
    const { event, called, finish } = slowEvent();
    finish('beforeTransactionCommit');
    await app.dataSource.transaction(async () => {
      void app.bus.emit(event, 'slow');
      await called;
    });
    expect(recorder.matching(ENDS)).toEqual([expect.stringContaining('INSERT'), 'COMMIT']);
    expect(await app.emitted()).toEqual(['slow']);
  });

  it('A4: a commit whose un-awaited emit fails in the database fails with it', async () => {
    const rows = { name: 'refused', before: 'INSERT', table: 'events_outbox' } as const;
    const refused = { ...rows, when: `NEW.name = 'order.refused'` };
    await sql.refuse(app.dataSource, refused, 'no');
    const transaction = app.dataSource.transaction(async (manager) => {
      await saveOrder(manager, 'o1');
      void app.bus.emit(defineEvent('order.refused'), {}).catch(() => undefined);
    });
    await expect(transaction).rejects.toBeInstanceOf(EventTransactionFailedError);
    expect(await app.orders()).toEqual([]);
    await sql.dropTrigger(app.dataSource, refused);
  });

  it('A4: the rollback to a savepoint waits for an emit under way', async () => {
    const { event, called, finish } = slowEvent();
    await app.dataSource.transaction(async (manager) => {
      const nested = manager.transaction(async () => {
        void app.bus.emit(event, 'slow');
        await called;
        throw new Error('sibling');
      });
      finish('beforeTransactionRollback');
      await expect(nested).rejects.toThrow('sibling');
      await emit('after');
    });
    expect(await app.emitted()).toEqual(['after']);
  });

  it('emits of one transaction may run at once', async () => {
    await app.dataSource.transaction(() =>
      Promise.all(Array.from({ length: 20 }, (_, index) => emit(`e${index}`))),
    );
    expect(await app.emitted()).toHaveLength(20);
  });
});

describe('after the end', () => {
  it.each([
    ['committed', false],
    ['rolled back', true],
  ])(
    'A10: emit rejects once its transaction has %s, also where standalone is allowed',
    async (_how, fail) => {
      let late!: () => Promise<unknown>;
      const transaction = lenient.dataSource.transaction(async () => {
        late = AsyncLocalStorage.bind(() => lenient.bus.emit(OrderPlaced, 'late'));
        await lenient.bus.emit(OrderPlaced, 'in time');
        if (fail) throw new Error('changed my mind');
      });
      await transaction.catch(() => undefined);
      await expect(late()).rejects.toBeInstanceOf(EventTransactionEndedError);
      await expect(late()).rejects.toThrow('Await every emit inside the transaction');
      expect(await app.emitted()).toEqual(fail ? [] : ['in time']);
    },
  );

  it('A10: emit rejects with the manager of a transaction() that has ended', async () => {
    const manager = await app.dataSource.transaction(async (given) => given);
    await expect(emit('late', { manager })).rejects.toBeInstanceOf(EventTransactionEndedError);
    expect(await app.emitted()).toEqual([]);
  });

  it.each(['commitTransaction', 'rollbackTransaction'] as const)(
    'A10: emit rejects with the manager of a runner after %s, also where standalone is allowed',
    async (end) => {
      await withRunner(async (runner) => {
        await runner.startTransaction();
        await runner[end]();
        const late = lenient.bus.emit(OrderPlaced, 'late', { manager: runner.manager });
        await expect(late).rejects.toBeInstanceOf(EventTransactionEndedError);
      }, lenient.dataSource);
      expect(await app.emitted()).toEqual([]);
    },
  );

  it('A10: emit rejects where the "transaction" option gives a transaction that has ended', async () => {
    let given: EntityManager | undefined;
    const own = await startEmitApp(database.url, {
      events: { standalone: 'allow', transaction: () => given },
    });
    try {
      await withRunner(async (runner) => {
        given = runner.manager;
        await runner.startTransaction();
        await own.bus.emit(OrderPlaced, 'in time');
        await runner.commitTransaction();
        await expect(own.bus.emit(OrderPlaced, 'late')).rejects.toBeInstanceOf(
          EventTransactionEndedError,
        );
      }, own.dataSource);
    } finally {
      await own.close();
    }
    expect(await app.emitted()).toEqual(['in time']);
  });

  it('A10: emit rejects where the transaction was ended by hand inside its callback', async () => {
    const transaction = app.dataSource.transaction(async ({ queryRunner }) => {
      await emit('in time');
      await queryRunner?.rollbackTransaction();
      await emit('late');
    });
    await expect(transaction).rejects.toBeInstanceOf(EventTransactionEndedError);
    expect(await app.emitted()).toEqual([]);
  });

  it('a runner may be used for one transaction after the other', async () => {
    await withRunner(async (runner) => {
      for (const [data, end] of [
        ['first', 'commitTransaction'],
        ['second', 'rollbackTransaction'],
        ['third', 'commitTransaction'],
      ] as const) {
        await runner.startTransaction();
        await emit(data, { manager: runner.manager });
        await runner[end]();
      }
    });
    expect(await app.emitted()).toEqual(['first', 'third']);
  });
});

describe('the hint after a commit', () => {
  let dataSource: DataSource;
  let hints: number;
  let fail: boolean;
  let windows: EmitWindows;

  beforeAll(async () => {
    dataSource = await openDataSource(database.url);
    windows = new EmitWindows({
      isTransactionFailed: async () => false,
      onCommitted: () => {
        hints++;
        if (fail) throw new Error('the relay is in a bad mood');
      },
    });
    dataSource.subscribers.push(windows);
  });
  afterAll(() => dataSource.destroy());

  const transaction = (work: (runner: QueryRunner) => Promise<void>) => {
    hints = 0;
    fail = false;
    return dataSource.transaction(({ queryRunner }) => work(queryRunner!));
  };
  const write = (runner: QueryRunner) =>
    windows.track(runner, () => saveOrder(runner, `o${Math.random()}`));

  it('comes once, after the outermost commit', async () => {
    await transaction(async (runner) => {
      await write(runner);
      await write(runner);
      expect(hints).toBe(0);
    });
    expect(hints).toBe(1);
  });

  it('A6: does not come when a savepoint is released', async () => {
    await transaction(async (runner) => {
      await runner.manager.transaction(() => write(runner));
      expect(hints).toBe(0);
    });
    expect(hints).toBe(1);
  });

  it('does not come after a rollback, nor without an emit', async () => {
    const failing = transaction(async (runner) => {
      await write(runner);
      throw new Error('changed my mind');
    });
    await expect(failing).rejects.toThrow('changed my mind');
    expect(hints).toBe(0);
    await transaction(async () => undefined);
    expect(hints).toBe(0);
  });

  it('A7: does not make a committed transaction reject if it fails', async () => {
    await transaction(async (runner) => {
      fail = true;
      await windows.track(runner, () => saveOrder(runner, 'kept'));
    });
    expect(hints).toBe(1);
    expect(await app.orders()).toContain('kept');
  });
});
