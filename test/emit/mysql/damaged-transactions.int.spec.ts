import { defineEvent, EventTransactionFailedError, type EmitOptions } from 'nestjs-durable-events';
import type { DataSource, EntityManager, QueryRunner } from 'typeorm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createMariadbDatabase, type TestDatabase } from '../../support/database.js';
import { emitOnly } from '../../support/emit-app.js';
import { mariadbSql } from '../../support/sql/mariadb.js';
import { startTestApp, type TestApp } from '../../support/test-app.js';

const OrderPlaced = defineEvent<string>('order.placed');

let database: TestDatabase;
let app: TestApp;
/** Of another client, which the application gets into conflict with. */
let other: QueryRunner;

beforeAll(async () => {
  database = await createMariadbDatabase();
  app = await startTestApp({
    url: database.url,
    events: emitOnly({ queue: { redis: 'redis://127.0.0.1:1' } }),
    dataSource: { type: 'mysql' },
  });
  await query('CREATE TABLE orders (id varchar(20) PRIMARY KEY) ENGINE=InnoDB');
  await query('CREATE TABLE stock (id int PRIMARY KEY, amount int NOT NULL) ENGINE=InnoDB');
  await query('INSERT INTO stock SELECT seq, 0 FROM seq_1_to_200');
});
beforeEach(() => {
  other = app.dataSource.createQueryRunner();
});
afterEach(async () => {
  if (other.isTransactionActive) await other.rollbackTransaction();
  await other.release();
  for (const table of ['orders', 'events_outbox', 'events_idempotency']) {
    await query(`DELETE FROM ${table}`);
  }
});
afterAll(async () => {
  await app.close();
  await database.drop();
});

const query = <Row>(sql: string) => app.dataSource.query<Row[]>(sql);
const emit = (data: string, options?: EmitOptions) => app.bus.emit(OrderPlaced, data, options);

type Querying = Pick<EntityManager | DataSource | QueryRunner, 'query'>;
const take = (through: Querying, id: number) =>
  through.query(`UPDATE stock SET amount = amount + 1 WHERE id = ${id}`);
const saveOrder = (through: Querying, id: string) =>
  through.query(`INSERT INTO orders (id) VALUES ('${id}')`);

async function emitted(): Promise<string[]> {
  const rows = await query<{ data: string }>('SELECT data FROM events_outbox ORDER BY seq');
  return rows.map(({ data }) => JSON.parse(data) as string);
}
async function orders(): Promise<string[]> {
  return (await query<{ id: string }>('SELECT id FROM orders ORDER BY id')).map(({ id }) => id);
}

/** The statement of the manager's that the server answers with a deadlock (1213). */
async function prepareDeadlock(through: Querying): Promise<() => Promise<unknown>> {
  await other.startTransaction();
  // The heavier one of two survives.
  await other.query('UPDATE stock SET amount = amount + 1 WHERE id > 1');
  await take(through, 1);
  const waiting = take(other, 1);
  return async () => {
    try {
      return await take(through, 2);
    } finally {
      await waiting;
    }
  };
}

async function deadlock(through: Querying): Promise<void> {
  const run = await prepareDeadlock(through);
  await expect(run()).rejects.toMatchObject({ errno: 1213 });
}

/** Makes a statement of the manager's wait for a lock until the server gives up (1205). */
async function lockWaitTimeout(through: Querying): Promise<void> {
  await other.startTransaction();
  await take(other, 1);
  await through.query('SET SESSION innodb_lock_wait_timeout = 1');
  await expect(take(through, 1)).rejects.toMatchObject({ errno: 1205 });
  await through.query('SET SESSION innodb_lock_wait_timeout = DEFAULT');
}

const failed = async (promise: Promise<unknown>): Promise<void> => {
  await expect(promise).rejects.toBeInstanceOf(EventTransactionFailedError);
};

describe.each([
  ['A2', 'a deadlock', deadlock],
  ['A3', 'a lock wait timeout', lockWaitTimeout],
])('%s: the error of %s was swallowed', (_id, _what, fail) => {
  it('before the first emit: emit rejects, the commit throws, and no event exists', async () => {
    const transaction = app.dataSource.transaction(async (manager) => {
      await saveOrder(manager, 'before');
      await fail(manager);
      await failed(emit('after'));
    });
    await failed(transaction);
    expect(await emitted()).toEqual([]);
    expect(await orders()).toEqual([]);
  });

  it('after an emit: later emits reject, the commit throws, and no event exists', async () => {
    const transaction = app.dataSource.transaction(async (manager) => {
      await saveOrder(manager, 'before');
      await emit('before');
      await fail(manager);
      await failed(emit('after'));
      await failed(emit('after', { idempotencyKey: 'k' }));
      await failed(emit('after', { manager }));
    });
    await failed(transaction);
    expect(await emitted()).toEqual([]);
    expect(await orders()).toEqual([]);
  });

  it('after the last emit: the commit throws', async () => {
    const transaction = app.dataSource.transaction(async (manager) => {
      await emit('before');
      await fail(manager);
    });
    await failed(transaction);
    expect(await emitted()).toEqual([]);
  });

  it('without an emit: the transaction is the application’s own affair', async () => {
    await app.dataSource.transaction(async (manager) => {
      await fail(manager);
      await saveOrder(manager, 'after');
    });
    expect(await orders()).toEqual(['after']);
  });

  it('the next transaction is a new one, on the same query runner too', async () => {
    const runner = app.dataSource.createQueryRunner();
    await runner.startTransaction();
    await fail(runner);
    await failed(emit('first', { manager: runner.manager }));
    await runner.rollbackTransaction();
    await runner.startTransaction();
    await emit('second', { manager: runner.manager });
    await runner.commitTransaction();
    await runner.release();
    expect(await emitted()).toEqual(['second']);
  });
});

describe('A2: a deadlock', () => {
  it('beside an emit: the event does not outlive the transaction', async () => {
    for (const first of ['the statement', 'the emit']) {
      const transaction = app.dataSource.transaction(async (manager) => {
        const run = await prepareDeadlock(manager);
        const works = [run, () => emit('beside')];
        if (first === 'the emit') works.reverse();
        await Promise.allSettled(works.map((work) => work()));
      });
      await failed(transaction);
      expect(await emitted()).toEqual([]);
      await other.rollbackTransaction();
    }
  });

  it('beside several emits, and statements that go on: none of the events exists', async () => {
    const transaction = app.dataSource.transaction(async (manager) => {
      const run = await prepareDeadlock(manager);
      await Promise.all([
        emit('a', { idempotencyKey: 'a' }),
        saveOrder(manager, 'o1'),
        run(),
        emit('b'),
        manager.query('SELECT 1').then(() => emit('c')),
      ]);
    });
    // The statement's own error, or that of an emit beside it: whichever is known first.
    await expect(transaction).rejects.toThrow(/deadlock/i);
    expect(await emitted()).toEqual([]);
    expect(await query('SELECT * FROM events_idempotency')).toEqual([]);
  });

  it('of a statement that nobody awaited: the commit throws though the server took it', async () => {
    let lost!: Promise<unknown>;
    const transaction = app.dataSource.transaction(async (manager) => {
      await emit('before');
      const run = await prepareDeadlock(manager);
      lost = run().catch((error: unknown) => error);
    });
    await failed(transaction);
    expect(await lost).toMatchObject({ errno: 1213 });
    expect(await emitted()).toEqual([]);
  });

  it('in a nested transaction takes the outer one with it', async () => {
    const transaction = app.dataSource.transaction(async (manager) => {
      await emit('before');
      await manager.transaction((inner) => deadlock(inner)).catch(() => undefined);
      await failed(emit('after'));
    });
    await expect(transaction).rejects.toThrow('SAVEPOINT');
    expect(await emitted()).toEqual([]);
  });

  it('that is let through needs no explanation of ours', async () => {
    const transaction = app.dataSource.transaction(async (manager) => {
      await emit('before');
      await (
        await prepareDeadlock(manager)
      )();
    });
    await expect(transaction).rejects.toMatchObject({ errno: 1213 });
    expect(await emitted()).toEqual([]);
  });

  it('the same for MariaDB’s error for a row that changed since it was read', async () => {
    const transaction = app.dataSource.transaction('REPEATABLE READ', async (manager) => {
      await manager.query('SET SESSION innodb_snapshot_isolation = ON');
      await emit('before');
      await manager.query('SELECT * FROM stock');
      await take(other, 1);
      await expect(take(manager, 1)).rejects.toMatchObject({ errno: 1020 });
      await manager.query('SET SESSION innodb_snapshot_isolation = DEFAULT');
      await failed(emit('after'));
    });
    await failed(transaction);
    expect(await emitted()).toEqual([]);
  });
});

describe('A3: an emit that the database refuses', () => {
  const refused = {
    name: 'refused',
    before: 'INSERT',
    table: 'events_outbox',
    when: `NEW.data = '"refused"'`,
  } as const;
  beforeAll(() => mariadbSql.refuse(app.dataSource, refused, 'the disk is full'));
  afterAll(() => mariadbSql.dropTrigger(app.dataSource, refused));

  it('and whose error is swallowed takes its transaction with it, and its key', async () => {
    const transaction = app.dataSource.transaction(async (manager) => {
      await saveOrder(manager, 'o1');
      await expect(emit('refused', { idempotencyKey: 'k' })).rejects.toThrow('the disk is full');
      await failed(emit('after'));
    });
    await failed(transaction);
    expect(await orders()).toEqual([]);
    expect(await emitted()).toEqual([]);
    // Else the event of a second try would be taken for a duplicate.
    expect(await query('SELECT * FROM events_idempotency')).toEqual([]);
  });

  it('in a nested transaction that was rolled back is made good', async () => {
    await app.dataSource.transaction(async (manager) => {
      await saveOrder(manager, 'outer');
      const nested = manager.transaction(() => emit('refused', { idempotencyKey: 'k' }));
      await expect(nested).rejects.toThrow('the disk is full');
      expect(await emit('outer', { idempotencyKey: 'k' })).toMatchObject({ duplicate: false });
    });
    expect(await emitted()).toEqual(['outer']);
    expect(await orders()).toEqual(['outer']);
  });
});

it('another error that is swallowed undoes its statement alone, as everybody expects', async () => {
  await app.dataSource.transaction(async (manager) => {
    await saveOrder(manager, 'o1');
    await emit('before');
    await expect(saveOrder(manager, 'o1')).rejects.toThrow('Duplicate entry');
    await emit('after');
  });
  expect(await orders()).toEqual(['o1']);
  expect(await emitted()).toEqual(['before', 'after']);
});

describe('A3: a lock wait timeout', () => {
  it('in a nested transaction that was rolled back is made good', async () => {
    await app.dataSource.transaction(async (manager) => {
      await saveOrder(manager, 'outer');
      const nested = manager.transaction(async (inner) => {
        await saveOrder(inner, 'inner');
        await lockWaitTimeout(inner);
        await failed(emit('inner'));
        throw new Error('only this');
      });
      await expect(nested).rejects.toThrow('only this');
      await emit('outer');
    });
    expect(await emitted()).toEqual(['outer']);
    expect(await orders()).toEqual(['outer']);
  });

  it('in a nested transaction that was kept stays with the outer one', async () => {
    const transaction = app.dataSource.transaction(async (manager) => {
      await manager.transaction(async (inner) => {
        await saveOrder(inner, 'inner');
        await lockWaitTimeout(inner);
      });
      await failed(emit('outer'));
    });
    await failed(transaction);
    expect(await orders()).toEqual([]);
  });

  it('of a SELECT that was not to wait damages nothing', async () => {
    await other.startTransaction();
    await take(other, 1);
    await app.dataSource.transaction(async (manager) => {
      for (const lock of ['NOWAIT', 'WAIT 0']) {
        const select = manager.query(`SELECT id FROM stock WHERE id = 1 FOR UPDATE ${lock}`);
        await expect(select).rejects.toMatchObject({ errno: 1205 });
      }
      await saveOrder(manager, 'o1');
      await emit('o1');
    });
    expect(await emitted()).toEqual(['o1']);
    expect(await orders()).toEqual(['o1']);
  });

  it('of an emit itself, for its idempotency key', async () => {
    await other.startTransaction();
    await emit('theirs', { idempotencyKey: 'k', manager: other.manager });
    const transaction = app.dataSource.transaction(async (manager) => {
      await saveOrder(manager, 'o1');
      await manager.query('SET SESSION innodb_lock_wait_timeout = 1');
      await expect(emit('ours', { idempotencyKey: 'k' })).rejects.toMatchObject({ errno: 1205 });
      await manager.query('SET SESSION innodb_lock_wait_timeout = DEFAULT');
    });
    await failed(transaction);
    await other.commitTransaction();
    expect(await emitted()).toEqual(['theirs']);
    expect(await orders()).toEqual([]);
  });
});
